#include "network/firewall_policy.h"

#include <gmock/gmock.h>

#include <random>

#include "network/acl_rules.h"
#include "network/bridge_config.h"
#include "network/raw_dnsmasq.h"

namespace lxmgr::network {
namespace {

using ::testing::HasSubstr;

/// Text that nearly is what the parsers read.
std::string random_text(std::mt19937& random, std::string_view letters) {
    std::string out;
    const auto length = random() % 24;
    for (unsigned i = 0; i < length; ++i) out += letters[random() % letters.size()];
    return out;
}

bool in(const std::vector<PortRange>& ranges, int port) {
    return std::ranges::any_of(ranges, [port](const auto& r) { return port >= r.first && port <= r.last; });
}

TEST(FirewallPolicyTest, PortsAreSortedAndApart) {
    EXPECT_EQ(parse_ports("443,80-90,91,85-100"), (std::vector<PortRange>{{80, 100}, {443, 443}}));
    EXPECT_EQ(parse_ports("1-65535,7"), (std::vector<PortRange>{{1, 65535}}));
    for (const char* bad :
         {"", "0", "65536", "80-", "-80", "90-80", "80,", "8 0", "80-90-100", "+80", "0x50", "80\n"})
        EXPECT_FALSE(parse_ports(bad)) << bad;
}

TEST(FirewallPolicyTest, PortsOfAnyTextAreSortedAndApart) {
    std::mt19937 random(7);
    int good = 0;
    for (int i = 0; i < 20000; ++i) {
        const std::string text = random_text(random, "0123456789,,--");
        const auto ranges = parse_ports(text);
        if (!ranges) continue;
        ++good;
        for (std::size_t j = 0; j < ranges->size(); ++j) {
            ASSERT_LE((*ranges)[j].first, (*ranges)[j].last) << text;
            ASSERT_GE((*ranges)[j].first, 1) << text;
            if (j == 0) continue;
            ASSERT_GT((*ranges)[j].first, (*ranges)[j - 1].last + 1) << text;
        }
        // What is written first is in it.
        const int first = std::stoi(text);
        ASSERT_TRUE(in(*ranges, first)) << text;
    }
    EXPECT_GT(good, 100);
}

TEST(FirewallPolicyTest, AddressesOfBothFamilies) {
    const auto read =
        parse_address_ranges("10.0.0.0/8, 10.1.0.0/16,192.0.2.9-192.0.2.11,fd00::1,fd00::2-fd00::5");
    ASSERT_TRUE(read);
    EXPECT_EQ(read->ipv4, (std::vector<Ipv4Range>{{0x0a000000, 0x0affffff}, {0xc0000209, 0xc000020b}}));
    ASSERT_EQ(read->ipv6.size(), 1u);
    EXPECT_EQ(format_ipv6(read->ipv6[0].last), "fd00::5");
    const auto all = parse_address_ranges("0.0.0.0/0,255.255.255.255,::/0");
    ASSERT_TRUE(all);
    EXPECT_EQ(all->ipv4, (std::vector<Ipv4Range>{{0, 0xffffffff}}));
    for (const char* bad : {"", "10.0.0.0/33", "10.0.0.9-10.0.0.1", "10.0.0.1-fd00::1", "a", "@internal",
                            "10.0.0.1,,", "10.0.0.1 }", "fd00::/129"})
        EXPECT_FALSE(parse_address_ranges(bad)) << bad;
}

TEST(FirewallPolicyTest, AddressesOfAnyTextAreSortedAndApart) {
    std::mt19937 random(8);
    for (int i = 0; i < 20000; ++i) {
        const auto ranges = parse_address_ranges("10.0.0.1," + random_text(random, "0129..,,-/:f"));
        if (!ranges) continue;
        for (std::size_t j = 1; j < ranges->ipv4.size(); ++j)
            ASSERT_GT(ranges->ipv4[j].first, ranges->ipv4[j - 1].last + std::uint64_t{1});
        for (std::size_t j = 1; j < ranges->ipv6.size(); ++j)
            ASSERT_GT(ranges->ipv6[j].first, ranges->ipv6[j - 1].last);
    }
}

TEST(FirewallPolicyTest, RefusesRulesThatSayTooLittleOrTooMuch) {
    const auto error = [](const api::NetworkAclRule& rule) {
        const auto read = parse_acl_rule(rule);
        return read ? std::string() : read.error().message;
    };
    api::NetworkAclRule rule;
    rule.state = "enabled";
    EXPECT_THAT(error(rule), HasSubstr("action"));
    rule.action = "allow";
    EXPECT_EQ(error(rule), "");
    rule.destination_port = "80";
    EXPECT_THAT(error(rule), HasSubstr("tcp and udp"));
    rule.protocol = "tcp";
    EXPECT_EQ(error(rule), "");
    rule.icmp_type = "8";
    EXPECT_THAT(error(rule), HasSubstr("icmp"));
    rule = {.action = "drop",
            .state = "enabled",
            .description = {},
            .source = "10.0.0.1",
            .destination = "fd00::1"};
    EXPECT_THAT(error(rule), HasSubstr("in common"));
}

TEST(FirewallPolicyTest, DropsComeBeforeAllows) {
    FirewallPolicy policy;
    Acl acl{"web", {}, {}};
    acl.ingress.push_back({.action = AclRule::Action::allow, .source = {}, .destination = {}});
    acl.ingress.push_back({.action = AclRule::Action::drop, .source = {}, .destination = {}});
    policy.acls.push_back(acl);
    std::vector<Rule> rules;
    add_acl_rules(rules, "br0", policy);
    ASSERT_GE(rules.size(), 3u);
    EXPECT_TRUE(rules[0].expressions.back().contains("drop"));
    EXPECT_TRUE(rules[1].expressions.back().contains("return"));
    EXPECT_TRUE(rules[2].expressions.back().contains("reject"));
}

TEST(ForwardTest, PairsPortsOfEqualNumber) {
    const auto bridge = *parse_bridge_config("br0", {{"ipv4.address", "10.1.0.1/24"}});
    api::NetworkForward forward;
    forward.listen_address = "192.0.2.1";
    forward.ports.push_back({"", "tcp", "80-84,90", "1000-1002,2000-2002", "10.1.0.5"});
    const auto read = parse_forward(forward, bridge);
    ASSERT_TRUE(read) << read.error().message;
    const auto& ports = read->ports[0].ports;
    ASSERT_EQ(ports.size(), 3u);
    EXPECT_EQ(ports[0], (std::pair<PortRange, PortRange>{{80, 82}, {1000, 1002}}));
    EXPECT_EQ(ports[1], (std::pair<PortRange, PortRange>{{83, 84}, {2000, 2001}}));
    EXPECT_EQ(ports[2], (std::pair<PortRange, PortRange>{{90, 90}, {2002, 2002}}));
    forward.ports[0].target_port = "1000-1002";
    EXPECT_FALSE(parse_forward(forward, bridge));
}

TEST(RawDnsmasqTest, TakesOptionsAboutAnswersAlone) {
    EXPECT_EQ(parse_raw_dnsmasq("\n# a comment\n address=/x/1.2.3.4 \nlog-queries\n").value(),
              (std::vector<std::string>{"--address=/x/1.2.3.4", "--log-queries"}));
    for (const char* bad :
         {"conf-file=/etc/passwd", "dhcp-script=/bin/sh", "address = /x/\x01", "user=root", "--address=/x/",
          "interface=eth0", "=x", "addn-hosts=/etc/shadow", "log-facility=/etc/passwd"})
        EXPECT_FALSE(parse_raw_dnsmasq(bad)) << bad;
}

TEST(RawDnsmasqTest, AnyTextGivesNoOtherOption) {
    std::mt19937 random(9);
    for (int i = 0; i < 5000; ++i) {
        const auto read = parse_raw_dnsmasq(random_text(random, "server=/conf-file\n #\tuser"));
        if (!read) continue;
        for (const auto& argument : *read) EXPECT_TRUE(argument.starts_with("--server")) << argument;
    }
}

}  // namespace
}  // namespace lxmgr::network
