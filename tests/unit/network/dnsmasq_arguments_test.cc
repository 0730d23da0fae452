#include <gmock/gmock.h>

#include "network/dnsmasq.h"

namespace lxmgr::network {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> arguments(const api::ConfigMap& config) {
    return dnsmasq_arguments("testbr0", "/state", *parse_bridge_config("testbr0", config));
}

TEST(DnsmasqArgumentsTest, LeasesAreAsManyAsHostsWhateverTheRanges) {
    const api::ConfigMap narrow{{"ipv4.address", "10.1.1.1/24"}, {"ipv4.dhcp.ranges", "10.1.1.10-10.1.1.11"}};
    EXPECT_THAT(arguments(narrow), Contains("--dhcp-lease-max=253"));
    auto both = narrow;
    both.insert({{"ipv6.address", "fd42::1/64"}, {"ipv6.dhcp.stateful", "true"}});
    EXPECT_THAT(arguments(both), Contains("--dhcp-lease-max=506"));
    EXPECT_THAT(arguments({{"ipv4.address", "10.1.1.1/30"}}), Contains("--dhcp-lease-max=1"));
}

TEST(DnsmasqArgumentsTest, ServeTheBridgeAloneAndReadNoFilesOfTheHost) {
    const auto out = arguments({{"ipv4.address", "10.1.1.1/24"}});
    for (const char* expected :
         {"--conf-file=", "--interface=testbr0", "--except-interface=lo", "--bind-interfaces", "--no-hosts",
          "--domain=lxd", "--local=/lxd/", "--dhcp-ignore-names=tag:!known",
          "--dhcp-range=10.1.1.2,10.1.1.254,255.255.255.0,1h", "--dhcp-lease-max=253",
          "--dhcp-hostsdir=/state/dnsmasq.hosts", "--dhcp-leasefile=/state/dnsmasq.leases"}) {
        EXPECT_THAT(out, Contains(expected));
    }
    EXPECT_THAT(out, Not(Contains(HasSubstr("enable-ra"))));
}

TEST(DnsmasqArgumentsTest, FollowTheConfig) {
    EXPECT_THAT(arguments({{"ipv4.address", "10.1.1.1/24"}, {"ipv4.dhcp", "false"}}),
                Not(Contains(HasSubstr("--dhcp-range"))));
    EXPECT_THAT(arguments({{"dns.mode", "none"}}), Not(Contains(HasSubstr("--domain="))));
    EXPECT_THAT(arguments({{"dns.mode", "dynamic"}}), Not(Contains("--dhcp-ignore-names=tag:!known")));
    EXPECT_THAT(arguments({{"ipv4.address", "10.1.1.1/24"}, {"bridge.mtu", "1400"}}),
                Contains("--dhcp-option-force=26,1400"));
    EXPECT_THAT(arguments({{"ipv6.address", "fd42::1/64"}}),
                Contains("--dhcp-range=::,constructor:testbr0,ra-stateless,ra-names"));
    EXPECT_THAT(arguments({{"ipv6.address", "fd42::1/64"}, {"ipv6.dhcp", "false"}}),
                Contains("--dhcp-range=::,constructor:testbr0,ra-only"));
    EXPECT_THAT(arguments({{"ipv6.address", "fd42::1/64"}, {"ipv6.dhcp.stateful", "true"}}),
                Contains("--dhcp-range=fd42::2,fd42::ffff:ffff:ffff:ffff,64,1h"));
}

TEST(DnsmasqArgumentsTest, HostEntryHoldsMacAddressAndName) {
    const auto config =
        *parse_bridge_config("testbr0", {{"ipv6.address", "fd42::1/64"}, {"ipv6.dhcp.stateful", "true"}});
    EXPECT_EQ(host_entry({"web", "eth0", "00:16:3E:00:00:11", "10.1.1.5", "fd42::5", false}, config),
              "00:16:3e:00:00:11,id:*,10.1.1.5,[fd42::5],web\n");
    EXPECT_EQ(host_file_name({"web", "eth0", "", "", "", false}), "web.eth0");
    EXPECT_EQ(host_file_name({"web", "../x y", "", "", "", false}), "web.%2e%2e%2fx%20y");
}

}  // namespace
}  // namespace lxmgr::network
