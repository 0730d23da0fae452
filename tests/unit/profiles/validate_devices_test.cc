#include <gmock/gmock.h>

#include "profiles/config_keys.h"
#include "profiles/expand.h"

using namespace lxmgr;
using namespace lxmgr::profiles;
using testing::HasSubstr;

namespace {

const api::ConfigMap kRoot{{"type", "disk"}, {"path", "/"}, {"pool", "default"}};

std::string complaint(const api::DeviceMap& devices, bool expanded = false) {
    const auto result = validate_devices(devices, expanded);
    return result ? std::string() : result.error().message;
}
std::string nic_complaint(api::ConfigMap keys) {
    keys.emplace("type", "nic");
    return complaint({{"eth0", keys}});
}
std::string disk_complaint(api::ConfigMap keys) {
    keys.emplace("type", "disk");
    return complaint({{"d", keys}});
}

}  // namespace

TEST(ValidateDevicesTest, TakesWhatTheDaemonDoes) {
    EXPECT_EQ(
        complaint({{"root", kRoot},
                   {"eth0", {{"type", "nic"}, {"network", "lxdbr0"}, {"name", "eth0"}}},
                   {"data", {{"type", "disk"}, {"path", "/data"}, {"source", "/srv"}, {"readonly", "true"}}},
                   {"off", {{"type", "none"}}}},
                  true),
        "");
    EXPECT_EQ(nic_complaint({{"nictype", "bridged"}, {"parent", "br0"}, {"hwaddr", "00:16:3e:aa:bb:cc"}}),
              "");
    EXPECT_EQ(
        nic_complaint({{"network", "n"}, {"ipv4.address", "10.0.0.5"}, {"mtu", "1500"}, {"user.x", "y"}}),
        "");
}

TEST(ValidateDevicesTest, TakesNicsOfOtherTypes) {
    EXPECT_EQ(nic_complaint({{"nictype", "macvlan"}, {"parent", "eth0"}, {"mode", "vepa"}}), "");
    EXPECT_EQ(nic_complaint({{"nictype", "p2p"}, {"host_name", "p0"}}), "");
    EXPECT_THAT(nic_complaint({{"nictype", "macvlan"}}), HasSubstr("required \"parent\""));
    EXPECT_THAT(nic_complaint({{"nictype", "p2p"}, {"parent", "x"}}), HasSubstr("Invalid device option"));
}

TEST(ValidateDevicesTest, ChecksRoutedAndPhysicalNics) {
    EXPECT_EQ(nic_complaint({{"nictype", "physical"}, {"parent", "eth1"}, {"mtu", "1400"}}), "");
    EXPECT_THAT(nic_complaint({{"nictype", "physical"}}), HasSubstr("required \"parent\""));
    EXPECT_THAT(nic_complaint({{"nictype", "physical"}, {"parent", "e"}, {"vlan.tagged", "3"}}),
                HasSubstr("not supported"));
    EXPECT_EQ(nic_complaint({{"nictype", "routed"},
                             {"ipv4.address", "192.0.2.1, 192.0.2.2"},
                             {"ipv6.address", "fd12::1"},
                             {"ipv4.routes", "198.51.100.0/24"},
                             {"ipv6.gateway", "none"}}),
              "");
    for (const char* wrong : {"", "192.0.2.1,", "fd12::1", "192.0.2.0/24"})
        EXPECT_NE(nic_complaint({{"nictype", "routed"}, {"ipv4.address", wrong}}), "") << wrong;
    for (const char* wrong : {"10.0.0.0", "10.0.0.0/33", "10.0.0.1/24", "10.0.0.128/24", "fd12::/64", "/8"})
        EXPECT_NE(nic_complaint({{"nictype", "routed"}, {"ipv4.routes", wrong}}), "") << wrong;
}

TEST(ValidateDevicesTest, ChecksIpvlanNicsByTheirMode) {
    const auto ipvlan = [](api::ConfigMap keys) {
        keys.merge(api::ConfigMap{{"nictype", "ipvlan"}, {"parent", "eth0"}});
        return nic_complaint(std::move(keys));
    };
    EXPECT_EQ(ipvlan({}), "");
    EXPECT_EQ(ipvlan({{"ipv4.address", "192.0.2.1, 192.0.2.2"}, {"ipv4.gateway", "none"}}), "");
    EXPECT_EQ(ipvlan({{"ipv6.address", "fd12::1"}, {"ipv6.gateway", "auto"}, {"ipv6.host_table", "7"}}), "");
    EXPECT_EQ(
        ipvlan({{"mode", "l2"}, {"ipv4.address", "192.0.2.1/24,10.0.0.1"}, {"ipv4.gateway", "192.0.2.254"}}),
        "");
    EXPECT_THAT(ipvlan({{"ipv4.address", "192.0.2.1/24"}}), HasSubstr("without a length in mode l3s"));
    EXPECT_THAT(ipvlan({{"ipv4.address", "192.0.2.1"}, {"ipv4.gateway", "192.0.2.2"}}),
                HasSubstr("auto or none in mode l3s"));
    EXPECT_THAT(ipvlan({{"mode", "l2"}, {"ipv4.gateway", "192.0.2.2"}}), HasSubstr("needs \"ipv4.address\""));
    EXPECT_THAT(ipvlan({{"mode", "l2"}, {"ipv6.gateway", "auto"}}), HasSubstr("an address or none"));
    EXPECT_THAT(ipvlan({{"mode", "l2"}, {"ipv4.host_table", "7"}}), HasSubstr("for mode l3s"));
    EXPECT_THAT(ipvlan({{"mode", "l3"}}), HasSubstr("l2 or l3s"));
    EXPECT_THAT(ipvlan({{"hwaddr", "02:00:00:00:00:01"}}), HasSubstr("MAC address of its parent"));
    for (const char* wrong : {"192.0.2.1/0", "192.0.2.1/33", "192.0.2.1/", "fd12::1/64", "/24", "192.0.2.1,"})
        EXPECT_NE(ipvlan({{"mode", "l2"}, {"ipv4.address", wrong}}), "") << wrong;
    EXPECT_THAT(nic_complaint({{"nictype", "ipvlan"}}), HasSubstr("required \"parent\""));
}

TEST(ValidateDevicesTest, ChecksProxiesByAddressTranslation) {
    const auto proxy = [](const char* listen, const char* connect, const char* key = "nat") {
        api::ConfigMap keys{{"type", "proxy"}, {"nat", "true"}, {"listen", listen}, {"connect", connect}};
        keys[key] = "true";
        return complaint({{"p", keys}});
    };
    EXPECT_EQ(proxy("tcp:192.0.2.1:80", "tcp:0.0.0.0:8080"), "");
    EXPECT_EQ(proxy("udp:192.0.2.1:80-81", "udp:10.0.0.2:53"), "");
    EXPECT_EQ(proxy("tcp:0.0.0.0:80", "tcp:10.0.0.2:80"), "");
    EXPECT_EQ(proxy("tcp:[::]:80", "tcp:[::]:80"), "");
    EXPECT_THAT(proxy("tcp:[fd12::1]:80", "tcp:10.0.0.2:80"), HasSubstr("one address family"));
    EXPECT_THAT(proxy("tcp:127.0.0.1:80", "tcp:10.0.0.2:80"), HasSubstr("loopback"));
    EXPECT_THAT(proxy("tcp:192.0.2.1:80", "unix:/x"), HasSubstr("tcp to tcp"));
    EXPECT_THAT(proxy("tcp:192.0.2.1:80", "tcp:10.0.0.2:80", "proxy_protocol"), HasSubstr("proxy_protocol"));
}

TEST(ValidateDevicesTest, ChecksNodesAndProxies) {
    const auto node = [](api::ConfigMap keys) {
        keys["type"] = "unix-char";
        return complaint({{"n", keys}});
    };
    EXPECT_EQ(node({{"source", "/dev/x"}, {"mode", "0600"}}), "");
    EXPECT_EQ(node({{"path", "/dev/x"}, {"major", "1"}, {"minor", "3"}}), "");
    EXPECT_THAT(node({}), HasSubstr("\"source\" or \"path\""));
    EXPECT_THAT(node({{"path", "/dev/x"}, {"minor", "3"}}), HasSubstr("go together"));
    EXPECT_NE(node({{"path", "/dev/x"}, {"mode", "0888"}}), "");
    const auto proxy = [](const char* listen, const char* connect) {
        return complaint({{"p", {{"type", "proxy"}, {"listen", listen}, {"connect", connect}}}});
    };
    EXPECT_EQ(proxy("tcp:0.0.0.0:80-82", "tcp:127.0.0.1:8080"), "");
    EXPECT_EQ(proxy("unix:@x", "tcp:127.0.0.1:8080"), "");
    EXPECT_THAT(proxy("udp:0.0.0.0:80", "tcp:127.0.0.1:8080"), HasSubstr("only be forwarded to udp"));
    EXPECT_THAT(proxy("tcp:0.0.0.0:80", "tcp:127.0.0.1:1-2"), HasSubstr("as many as"));
    EXPECT_THAT(proxy("tcp:0.0.0.0:80", ""), HasSubstr("connect"));
}

TEST(ValidateDevicesTest, TellsUnsupportedFromUnknown) {
    EXPECT_EQ(nic_complaint({{"network", "n"}, {"security.acls", "5"}}),
              "Device validation failed for \"eth0\": Device option \"security.acls\" is not supported by "
              "this server "
              "(yet)");
    EXPECT_EQ(nic_complaint({{"network", "n"}, {"bogus", "5"}}),
              "Device validation failed for \"eth0\": Invalid device option \"bogus\"");
    EXPECT_THAT(nic_complaint({{"nictype", "sriov"}, {"parent", "eth0"}}),
                HasSubstr("bridged, ipvlan, macvlan, p2p, physical or routed"));
    EXPECT_THAT(disk_complaint({{"path", "/"}, {"pool", "p"}, {"size.state", "1GiB"}}),
                HasSubstr("not supported"));
    EXPECT_THAT(disk_complaint({{"path", "/"}, {"pool", "p"}, {"size", "big"}}), HasSubstr("size"));
    EXPECT_THAT(disk_complaint({{"path", "/srv"}, {"pool", "p"}, {"source", "v"}, {"size", "1GiB"}}),
                HasSubstr("only for the root disk"));
    EXPECT_THAT(complaint({{"g", {{"type", "tpm"}}}}), HasSubstr("not supported by this server"));
    EXPECT_THAT(complaint({{"g", {{"type", "bogus"}}}}), HasSubstr("Unsupported device type"));
    EXPECT_THAT(complaint({{"g", {}}}), HasSubstr("Missing device type"));
}

TEST(ValidateDevicesTest, NicsNeedOneWayToTheirBridge) {
    EXPECT_THAT(nic_complaint({}), HasSubstr("needs \"network\""));
    EXPECT_THAT(nic_complaint({{"nictype", "bridged"}}), HasSubstr("needs \"parent\""));
    EXPECT_THAT(nic_complaint({{"network", "n"}, {"nictype", "bridged"}}), HasSubstr("in conjunction"));
    EXPECT_THAT(nic_complaint({{"network", "n"}, {"parent", "b"}}), HasSubstr("in conjunction"));
    EXPECT_THAT(nic_complaint({{"nictype", "bridged"}, {"parent", "b"}, {"ipv4.address", "10.0.0.1"}}),
                HasSubstr("managed network"));
}

TEST(ValidateDevicesTest, ChecksValues) {
    for (const char* hwaddr :
         {"", "00:16:3e:aa:bb", "00-16-3e-aa-bb-cc", "01:16:3e:aa:bb:cc", "zz:16:3e:aa:bb:cc"}) {
        EXPECT_NE(nic_complaint({{"network", "n"}, {"hwaddr", hwaddr}}), "") << hwaddr;
    }
    for (const char* name : {"lo", "a/b", "sixteen-chars-xx", "..", "a b", "a;b"}) {
        EXPECT_NE(nic_complaint({{"network", "n"}, {"name", name}}), "") << name;
    }
    EXPECT_NE(nic_complaint({{"network", "n"}, {"mtu", "70000"}}), "");
    EXPECT_NE(nic_complaint({{"network", "n"}, {"ipv4.address", "10.0.0.256"}}), "");
    EXPECT_NE(nic_complaint({{"network", "n"}, {"ipv4.address", "10.0.0.1/24"}}), "");
    EXPECT_NE(nic_complaint({{"network", "n"}, {"ipv4.address", std::string("10.0.0.1\0x", 10)}}), "");
    EXPECT_NE(disk_complaint({{"path", "/x"}, {"source", "/srv/../etc"}}), "");
    EXPECT_NE(disk_complaint({{"path", "x/../y"}, {"source", "/srv"}}), "");
    EXPECT_NE(disk_complaint({{"path", "/x\n"}, {"source", "/srv"}}), "");
    EXPECT_NE(disk_complaint({{"path", "/x"}, {"source", "ceph:pool"}}), "");
    EXPECT_NE(disk_complaint({{"path", "/x"}, {"source", "/srv"}, {"readonly", "perhaps"}}), "");
}

TEST(ValidateDevicesTest, DisksNeedPathAndSource) {
    EXPECT_THAT(disk_complaint({{"source", "/srv"}}), HasSubstr("required \"path\""));
    EXPECT_THAT(disk_complaint({{"path", "/x"}}), HasSubstr("required \"source\""));
    EXPECT_THAT(disk_complaint({{"path", "/"}}), HasSubstr("must have a \"pool\""));
    EXPECT_THAT(disk_complaint({{"path", "/"}, {"pool", "p"}, {"source", "/srv"}}),
                HasSubstr("may not have a \"source\""));
    EXPECT_EQ(disk_complaint({{"path", "/x"}, {"pool", "p"}, {"source", "vol"}, {"readonly", "true"}}), "");
    EXPECT_EQ(disk_complaint({{"path", "/x"},
                              {"pool", "p"},
                              {"source", "vol"},
                              {"source.snapshot", "s"},
                              {"source.type", "custom"}}),
              "");
    EXPECT_THAT(disk_complaint({{"path", "/x"}, {"source", "/srv"}, {"source.snapshot", "s"}}),
                HasSubstr("only for custom"));
    EXPECT_THAT(disk_complaint({{"path", "/x"}, {"source", "/srv"}, {"initial.block.filesystem", "xfs"}}),
                HasSubstr("only for the root disk"));
    EXPECT_EQ(disk_complaint({{"path", "/"}, {"pool", "p"}, {"initial.block.filesystem", "xfs"}}), "");
    EXPECT_THAT(disk_complaint({{"path", "/x"}, {"source", "vol"}}), HasSubstr("with \"pool\""));
    EXPECT_THAT(disk_complaint({{"path", "/x"}, {"pool", "p"}, {"source", "/v"}}),
                HasSubstr("custom volume's name"));
    EXPECT_THAT(disk_complaint({{"path", "/x"}, {"pool", "p"}, {"source", "v"}, {"shift", "true"}}),
                HasSubstr("cannot be used with custom"));
}

TEST(ValidateDevicesTest, KeysOfOthersSayWhyTheyAreRefused) {
    EXPECT_THAT(disk_complaint({{"path", "/x"}, {"source", "/srv"}, {"limits.read.burst", "1MiB"}}),
                HasSubstr("\"limits.read.burst\" is not supported: the kernel"));
    EXPECT_THAT(disk_complaint({{"path", "/x"}, {"source", "/srv"}, {"limits.max.burst.length", "2"}}),
                HasSubstr("no bursts"));
    EXPECT_THAT(disk_complaint({{"path", "/x"}, {"pool", "p"}, {"source", "v"}, {"dependent", "true"}}),
                HasSubstr("is not supported: a volume"));
    EXPECT_THAT(disk_complaint({{"path", "/"}, {"pool", "p"}, {"initial.zfs.blocksize", "8KiB"}}),
                HasSubstr("only initial.block.filesystem"));
    EXPECT_THAT(nic_complaint({{"network", "n"}, {"ipv4.gateway", "none"}}), HasSubstr("ipv4.dhcp.gateway"));
    EXPECT_THAT(nic_complaint({{"network", "n"}, {"ipv6.gateway", "none"}}), HasSubstr("alike"));
    EXPECT_THAT(nic_complaint({{"nictype", "physical"}, {"parent", "p"}, {"vlan.tagged", "7"}}),
                HasSubstr("packets of all VLANs"));
    EXPECT_THAT(nic_complaint({{"nictype", "macvlan"}, {"network", "n"}}),
                HasSubstr("leave nictype and parent out"));
    EXPECT_THAT(nic_complaint({{"network", "n"}, {"boot.priority", "1"}}), HasSubstr("virtual machines"));
    EXPECT_THAT(nic_complaint({{"network", "n"}, {"security.acls", "a"}}), HasSubstr("by this server (yet)"));
    EXPECT_THAT(complaint({{"c", {{"type", "unix-char"}, {"path", "/dev/null"}, {"limits.read", "1MiB"}}}}),
                HasSubstr("block devices only"));
}

TEST(ValidateDevicesTest, RatesOfABlockDeviceNeedOneThatIsThere) {
    const api::ConfigMap device{{"type", "unix-block"}, {"path", "/dev/x"}, {"limits.read", "1MiB"}};
    EXPECT_EQ(complaint({{"d", device}}), "");
    auto later = device;
    later["required"] = "false";
    EXPECT_THAT(complaint({{"d", later}}), HasSubstr("need \"required\""));
}

TEST(ValidateDevicesTest, DeviceNamesAreSafeInKeysAndPaths) {
    for (const char* name : {"", "a/b", "..", "-x", "a b", "a\nb"}) {
        EXPECT_NE(complaint({{name, {{"type", "none"}}}}), "") << name;
    }
    EXPECT_EQ(complaint({{"eth0.1:a_b", {{"type", "none"}}}}), "");
}

TEST(ValidateDevicesTest, TheWholeSetHasOneRootAndNoCollisions) {
    EXPECT_THAT(complaint({}, true), HasSubstr("No root device"));
    EXPECT_THAT(complaint({{"root", kRoot}, {"r2", kRoot}}, true), HasSubstr("same path"));
    const api::ConfigMap nic{{"type", "nic"}, {"network", "n"}, {"name", "eth0"}};
    EXPECT_THAT(complaint({{"root", kRoot}, {"a", nic}, {"b", nic}}, true), HasSubstr("same name"));
    const api::ConfigMap first{{"type", "disk"}, {"path", "/data/"}, {"source", "/a"}};
    const api::ConfigMap second{{"type", "disk"}, {"path", "//data"}, {"source", "/b"}};
    EXPECT_THAT(complaint({{"root", kRoot}, {"a", first}, {"b", second}}, true), HasSubstr("same path"));
    EXPECT_EQ(complaint({{"a", first}, {"b", second}}, false), "");
    EXPECT_THAT(complaint({{"root", kRoot}, {"r2", kRoot}}, false), HasSubstr("same path"));
}

TEST(ExpandTest, LaterLayersWinKeyByKeyAndDeviceByDevice) {
    const api::ConfigMap c1{{"a", "1"}, {"b", "1"}}, c2{{"b", "2"}};
    const api::DeviceMap d1{{"root", kRoot}, {"eth0", {{"type", "nic"}, {"network", "n"}}}};
    const api::DeviceMap d2{{"eth0", {{"type", "none"}}}};
    const Layer layers[] = {{&c1, &d1}, {nullptr, nullptr}, {&c2, &d2}};
    const Expanded out = expand(layers);
    EXPECT_EQ(out.config, (api::ConfigMap{{"a", "1"}, {"b", "2"}}));
    EXPECT_EQ(out.devices, (api::DeviceMap{{"root", kRoot}, {"eth0", {{"type", "none"}}}}));
}
