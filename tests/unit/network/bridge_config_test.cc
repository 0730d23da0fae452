#include "network/bridge_config.h"

#include <gmock/gmock.h>

#include "network/bridge.h"
#include "tests/unit/network/own_netns.h"

namespace lxmgr::network {
namespace {

using ::testing::HasSubstr;

std::string error_of(const api::ConfigMap& config) {
    const auto parsed = parse_bridge_config("testbr0", config);
    if (parsed) return "";
    EXPECT_EQ(parsed.error().status, Status::bad_request);
    return parsed.error().message;
}

TEST(BridgeConfigTest, ReadsAllItsKeys) {
    const auto config =
        parse_bridge_config("testbr0", {{"bridge.hwaddr", "00:16:3E:AA:bb:cc"},
                                        {"bridge.mtu", "9000"},
                                        {"bridge.driver", "native"},
                                        {"dns.domain", "Example.Net"},
                                        {"dns.mode", "dynamic"},
                                        {"dns.search", "a.example, b.example"},
                                        {"ipv4.address", "10.9.0.1/16"},
                                        {"ipv4.dhcp.expiry", "45m"},
                                        {"ipv4.dhcp.gateway", "10.9.0.2"},
                                        {"ipv4.dhcp.ranges", "10.9.1.1-10.9.1.9,10.9.2.1-10.9.2.9"},
                                        {"ipv4.nat", "on"},
                                        {"ipv4.firewall", "no"},
                                        {"ipv4.routing", "false"},
                                        {"ipv6.address", "fd42:1::1/64"},
                                        {"ipv6.dhcp.stateful", "1"},
                                        {"user.owner", "anything, really"},
                                        {"volatile.bridge.hwaddr", "00:16:3e:00:00:01"}});
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(format_mac(config->hwaddr), "00:16:3e:aa:bb:cc");
    EXPECT_EQ(config->mtu, 9000u);
    EXPECT_EQ(config->domain, "example.net");
    EXPECT_EQ(config->dns_mode, DnsMode::dynamic);
    EXPECT_EQ(config->search, (std::vector<std::string>{"a.example", "b.example"}));
    EXPECT_EQ(format(*config->ipv4.address), "10.9.0.1/16");
    EXPECT_EQ(config->ipv4_pool().size(), 2u);
    EXPECT_TRUE(config->ipv4.nat);
    EXPECT_FALSE(config->ipv4.firewall);
    EXPECT_FALSE(config->ipv4.routing);
    EXPECT_TRUE(config->ipv6_stateful);
}

TEST(BridgeConfigTest, RefusesWhatItDoesNotServeWithTheKeysName) {
    for (const char* key : {"raw.dnsmasq", "tunnel.a.protocol", "nonsense", "user.", "ipv4.nat.address",
                            "bgp.peers.a.address", "ipv4.ovn.ranges", "fan.overlay_subnet"}) {
        EXPECT_THAT(error_of({{key, "x"}}), HasSubstr(key));
    }
    EXPECT_THAT(error_of({{"raw.dnsmasq", "dhcp-script=/bin/sh"}}), HasSubstr("not allowed"));
    EXPECT_THAT(error_of({{"bridge.driver", "openvswitch"}}), HasSubstr("native"));
    EXPECT_THAT(error_of({{"bridge.mode", "fan"}}), HasSubstr("standard"));
}

TEST(BridgeConfigTest, RefusesBadValuesWithKeyAndValue) {
    const std::pair<const char*, const char*> kBad[] = {
        {"ipv4.address", "10.1.1.1"},
        {"ipv4.address", "10.1.1.0/24"},
        {"ipv4.address", "10.1.1.255/24"},
        {"ipv4.address", "10.1.1.1/31"},
        {"ipv4.address", "10.1.1.1/4"},
        {"ipv4.address", "10.1.1.1/024x"},
        {"ipv4.address", "10.1.1.256/24"},
        {"ipv6.address", "fd42::/64"},
        {"ipv6.address", "fd42::1/48"},
        {"ipv6.address", "fd42::1/80"},
        {"ipv4.nat", "maybe"},
        {"bridge.mtu", "100"},
        {"bridge.mtu", "99999999999999999"},
        {"bridge.hwaddr", "01:00:00:00:00:01"},
        {"bridge.hwaddr", "00:16:3e:00:00"},
        {"dns.domain", "a,b"},
        {"dns.domain", "-a"},
        {"dns.domain", "a/b"},
        {"dns.domain", ".."},
        {"dns.mode", "static"},
        {"dns.search", "ok,not ok"},
        {"ipv4.dhcp.expiry", "1y"},
        {"ipv4.dhcp.expiry", "h"},
        {"ipv4.dhcp.expiry", "1h,static"},
        {"ipv4.dhcp.gateway", "gateway"},
        {"ipv4.dhcp.ranges", "10.1.1.9"},
        {"ipv4.dhcp.ranges", "10.1.1.9-10.1.1.2"},
    };
    for (const auto& [key, value] : kBad) {
        EXPECT_THAT(error_of({{key, value}}), HasSubstr(key)) << value;
    }
    EXPECT_THAT(error_of({{"dns.domain", "lxd\nlog-queries"}}), HasSubstr("control characters"));
    EXPECT_THAT(error_of({{"ipv4.address", "10.1.1.1/24"}, {"ipv4.dhcp.ranges", "10.1.2.1-10.1.2.9"}}),
                HasSubstr("not inside"));
    EXPECT_THAT(error_of({{"ipv4.address", "10.1.1.1/24"}, {"ipv4.dhcp.gateway", "10.1.2.1"}}),
                HasSubstr("not inside"));
}

TEST(BridgeConfigTest, PoolLeavesOutTheEndsAndTheGateway) {
    const auto pool_of = [](const char* address) {
        return parse_bridge_config("testbr0", {{"ipv4.address", address}})->ipv4_pool()[0];
    };
    EXPECT_EQ(pool_of("10.1.1.1/24"), (Ipv4Range{0x0a010102, 0x0a0101fe}));
    EXPECT_EQ(pool_of("10.1.1.254/24"), (Ipv4Range{0x0a010101, 0x0a0101fd}));
    EXPECT_EQ(pool_of("10.1.1.1/30"), (Ipv4Range{0x0a010102, 0x0a010102}));
}

class CompleteBridgeConfigTest : public NetnsTest {};

TEST_F(CompleteBridgeConfigTest, FillsInWhatIsMissingAndIsStable) {
    const auto config = complete_bridge_config("testbr0", {});
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_THAT(config->at("ipv4.address"), ::testing::EndsWith(".1/24"));
    EXPECT_EQ(config->at("ipv4.nat"), "true");
    EXPECT_THAT(config->at("ipv6.address"), ::testing::StartsWith("fd42:"));
    EXPECT_EQ(config->at("ipv6.nat"), "true");
    EXPECT_THAT(config->at("volatile.bridge.hwaddr"), ::testing::StartsWith("00:16:3e:"));
    EXPECT_EQ(*complete_bridge_config("testbr0", *config), *config);
}

TEST_F(CompleteBridgeConfigTest, KeepsWhatTheUserSaid) {
    const auto config = complete_bridge_config(
        "testbr0", {{"ipv4.address", "auto"}, {"ipv4.nat", "false"}, {"ipv6.address", "none"}});
    ASSERT_TRUE(config);
    EXPECT_EQ(config->at("ipv4.nat"), "false");
    EXPECT_EQ(config->at("ipv6.address"), "none");
    EXPECT_FALSE(config->contains("ipv6.nat"));
    const auto given = complete_bridge_config("testbr0", {{"ipv4.address", "10.1.1.1/24"}});
    EXPECT_FALSE(given->contains("ipv4.nat"));
}

TEST_F(CompleteBridgeConfigTest, AvoidsSubnetsThatAreInUse) {
    // With 10.0.0.0/8 routed, the next private block is taken.
    set_flags_up("lo");
    const UniqueFd before = current_netns();
    ASSERT_EQ(::system("ip route add 10.0.0.0/8 dev lo"), 0);
    const auto config = complete_bridge_config("testbr0", {});
    ASSERT_TRUE(config);
    EXPECT_THAT(config->at("ipv4.address"), ::testing::StartsWith("172."));
}

TEST_F(CompleteBridgeConfigTest, RefusesBadNames) {
    for (const char* name : {"", "a", "a/b", "..", ".hidden", "-x", "all", "default", "lo",
                             "sixteencharacter", "a b", "a:b", "a\nb", "ü1"}) {
        EXPECT_FALSE(complete_bridge_config(name, {})) << name;
    }
    EXPECT_TRUE(complete_bridge_config("fifteencharactr", {}));
    EXPECT_TRUE(complete_bridge_config("br-0.1_x", {}));
}

}  // namespace
}  // namespace lxmgr::network
