#include "network/bridge.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>

#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/base/strings.h"
#include "network/ip.h"
#include "network/nftables.h"
#include "tests/unit/network/bridge_fixture.h"
#include "tests/unit/network/dhcp_client.h"
#include "tests/unit/network/own_netns.h"

namespace lxmgr::network {
namespace {

TEST_F(BridgeTest, HasItsFixedMacItsAddressAndIsUp) {
    Bridge& bridge = open("testbr0");
    auto config = config_of("testbr0", "10.81.1.1/24", {{"bridge.mtu", "1400"}});
    expect_ok(bridge.apply(config, {}));
    const auto state = interface_state("testbr0");
    ASSERT_TRUE(state);
    EXPECT_EQ(state->hwaddr, config["volatile.bridge.hwaddr"]);
    EXPECT_EQ(state->state, "up");
    EXPECT_EQ(state->kind, "bridge");
    EXPECT_EQ(state->type, "broadcast");
    EXPECT_EQ(state->mtu, 1400);
    const auto ipv4 = std::ranges::find(state->addresses, "inet", &Address::family);
    ASSERT_NE(ipv4, state->addresses.end());
    EXPECT_EQ(ipv4->address, "10.81.1.1");
    EXPECT_EQ(ipv4->netmask, "24");
    EXPECT_EQ(ipv4->scope, "global");
    EXPECT_EQ(*read_file("/proc/sys/net/ipv4/ip_forward"), "1\n");
}

TEST_F(BridgeTest, GivesAGuestItsClaimedAddressAndResolvesItsName) {
    Bridge& bridge = open("testbr0");
    expect_ok(bridge.apply(config_of("testbr0", "10.81.1.1/24"), {}));
    AddressClaim claim{"web", "eth0", kGuestMac, "", "", false};
    const auto chosen = bridge.choose_ipv4(claim, {});
    ASSERT_TRUE(chosen);
    claim.ipv4 = *chosen;
    expect_ok(bridge.set_claim(claim));
    const Netns guest;
    plug("testbr0", guest, "vethtest0");
    guest.run([&] {
        const auto lease = dhcp_exchange("eth0", kGuestMac, "some-client-id");
        ASSERT_TRUE(lease);
        EXPECT_EQ(lease->address, claim.ipv4);
        EXPECT_EQ(lease->options.at(3), std::string("\x0a\x51\x01\x01"));
        EXPECT_EQ(lease->options.at(6), std::string("\x0a\x51\x01\x01"));
        EXPECT_EQ(lease->options.at(15), "lxd");
        configure_ipv4("eth0", lease->address, 24, "10.81.1.1");
        EXPECT_EQ(dns_lookup("10.81.1.1", "web.lxd"), claim.ipv4);
        EXPECT_EQ(dns_lookup("10.81.1.1", "WEB.lxd"), claim.ipv4);
        EXPECT_EQ(dns_lookup("10.81.1.1", "other.lxd"), "NXDOMAIN");
        // Another client id, as after a change of the DHCP client: the same address.
        EXPECT_EQ(dhcp_exchange("eth0", kGuestMac, "another-client-id").value_or(DhcpOffer{}).address,
                  claim.ipv4);
    });
    const auto leases = bridge.leases({claim});
    ASSERT_TRUE(leases);
    ASSERT_EQ(leases->size(), 2u);
    EXPECT_EQ((*leases)[0].type, "gateway");
    EXPECT_EQ((*leases)[0].hostname, "testbr0.gw");
    EXPECT_EQ((*leases)[1].hostname, "web");
    EXPECT_EQ((*leases)[1].address, claim.ipv4);
    EXPECT_EQ((*leases)[1].hwaddr, kGuestMac);
    EXPECT_EQ((*leases)[1].type, "dynamic");
}

TEST_F(BridgeTest, LetsNoUnknownClientTakeAName) {
    Bridge& bridge = open("testbr0");
    expect_ok(bridge.apply(config_of("testbr0", "10.81.1.1/24"), {}));
    const Netns guest;
    plug("testbr0", guest, "vethtest0");
    guest.run([&] {
        const auto lease = dhcp_exchange("eth0", kGuestMac, "", "bank");
        ASSERT_TRUE(lease);
        configure_ipv4("eth0", lease->address, 24, "10.81.1.1");
        EXPECT_EQ(dns_lookup("10.81.1.1", "bank.lxd"), "NXDOMAIN");
    });
}

TEST_F(BridgeTest, FreesTheAddressOfADroppedClaimForTheNextOwner) {
    Bridge& bridge = open("testbr0");
    expect_ok(bridge.apply(config_of("testbr0", "10.81.1.1/24"), {}));
    const AddressClaim old_claim{"old", "eth0", kGuestMac, "10.81.1.50", "", true};
    expect_ok(bridge.set_claim(old_claim));
    const Netns first;
    plug("testbr0", first, "vethtest0");
    first.run(
        [&] { EXPECT_EQ(dhcp_exchange("eth0", kGuestMac).value_or(DhcpOffer{}).address, "10.81.1.50"); });
    expect_ok(bridge.drop_claim(old_claim));

    const AddressClaim new_claim{"new", "eth0", "00:16:3e:00:00:22", "10.81.1.50", "", true};
    expect_ok(bridge.set_claim(new_claim));
    const Netns second;
    plug("testbr0", second, "vethtest1", new_claim.hwaddr);
    second.run([&] {
        EXPECT_EQ(dhcp_exchange("eth0", new_claim.hwaddr).value_or(DhcpOffer{}).address, "10.81.1.50");
        configure_ipv4("eth0", "10.81.1.50", 24, "");
        EXPECT_EQ(dns_lookup("10.81.1.1", "new.lxd"), "10.81.1.50");
        EXPECT_EQ(dns_lookup("10.81.1.1", "old.lxd"), "NXDOMAIN");
    });
    // The old owner, were it to come back, gets another address.
    first.run(
        [&] { EXPECT_NE(dhcp_exchange("eth0", kGuestMac).value_or(DhcpOffer{}).address, "10.81.1.50"); });
}

TEST_F(BridgeTest, FollowsAChangedClaim) {
    Bridge& bridge = open("testbr0");
    expect_ok(bridge.apply(config_of("testbr0", "10.81.1.1/24"), {}));
    AddressClaim claim{"web", "eth0", kGuestMac, "10.81.1.50", "", true};
    expect_ok(bridge.set_claim(claim));
    const Netns guest;
    plug("testbr0", guest, "vethtest0");
    guest.run(
        [&] { EXPECT_EQ(dhcp_exchange("eth0", kGuestMac).value_or(DhcpOffer{}).address, "10.81.1.50"); });
    claim.ipv4 = "10.81.1.60";
    expect_ok(bridge.set_claim(claim));
    guest.run(
        [&] { EXPECT_EQ(dhcp_exchange("eth0", kGuestMac).value_or(DhcpOffer{}).address, "10.81.1.60"); });
}

TEST_F(BridgeTest, TakesOverALiveDnsmasqWithTheSameConfig) {
    const auto config = config_of("testbr0", "10.81.1.1/24");
    const AddressClaim claim{"web", "eth0", kGuestMac, "10.81.1.50", "", false};
    expect_ok(open("testbr0").apply(config, {claim}));
    const pid_t pid = dnsmasq_pid("testbr0");
    ASSERT_GT(pid, 0);
    Bridge& next = open("testbr0");  // as the next daemon does
    expect_ok(next.apply(config, {claim}));
    EXPECT_EQ(dnsmasq_pid("testbr0"), pid);
    auto changed = config;
    changed["dns.domain"] = "example";
    expect_ok(next.apply(changed, {claim}));
    EXPECT_NE(dnsmasq_pid("testbr0"), pid);
}

TEST_F(BridgeTest, FindsALiveDnsmasqWithoutItsPidFile) {
    const auto config = config_of("testbr0", "10.81.1.1/24");
    expect_ok(open("testbr0").apply(config, {}));
    ASSERT_EQ(::unlink((state_dir_ + "/testbr0/dnsmasq.pid").c_str()), 0);
    expect_ok(open("testbr0").apply(config, {}));  // a second one could not bind
}

TEST_F(BridgeTest, BringsADeadDnsmasqBackAtTheNextClaim) {
    Bridge& bridge = open("testbr0");
    expect_ok(bridge.apply(config_of("testbr0", "10.81.1.1/24"), {}));
    const pid_t pid = dnsmasq_pid("testbr0");
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    pollfd ended{pidfd.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&ended, 1, 5000), 1);
    expect_ok(bridge.set_claim({"web", "eth0", kGuestMac, "10.81.1.50", "", false}));
    EXPECT_NE(dnsmasq_pid("testbr0"), pid);
    EXPECT_TRUE(path_exists("/proc/" + std::to_string(dnsmasq_pid("testbr0"))));
}

TEST_F(BridgeTest, NeverEndsAProcessThatOnlyHasTheNumberOfThePidFile) {
    const Command sleeper{.argv = {"sleep", "60"}, .extra_env = {}, .input = {}, .cwd = {}, .timeout = {}};
    auto child = spawn(sleeper, {});
    ASSERT_TRUE(child);
    ASSERT_TRUE(make_directory(state_dir_ + "/testbr0", 0711));
    ASSERT_TRUE(write_file_atomic(state_dir_ + "/testbr0/dnsmasq.pid", std::to_string(child->pid) + "\n"));
    Bridge& bridge = open("testbr0");
    expect_ok(bridge.apply(config_of("testbr0", "10.81.1.1/24"), {}));
    expect_ok(bridge.remove());
    pollfd ended{child->pidfd.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&ended, 1, 0), 0);
    ::kill(child->pid, SIGKILL);
    ::waitpid(child->pid, nullptr, 0);
}

TEST_F(BridgeTest, ApplyingTwiceChangesNothingAndRepairsWhatIsGone) {
    Bridge& bridge = open("testbr0");
    const auto config = config_of("testbr0", "10.81.1.1/24");
    expect_ok(bridge.apply(config, {}));
    const int index = interface_state("testbr0")->index;
    expect_ok(bridge.apply(config, {}));
    EXPECT_EQ(interface_state("testbr0")->index, index);
    const pid_t pid = dnsmasq_pid("testbr0");
    expect_ok(delete_link("testbr0"));
    expect_ok(bridge.apply(config, {}));
    EXPECT_TRUE(interface_state("testbr0"));
    EXPECT_NE(dnsmasq_pid("testbr0"), pid) << "its sockets were bound to the lost bridge";
}

TEST_F(BridgeTest, MovesToAnotherAddress) {
    Bridge& bridge = open("testbr0");
    auto config = config_of("testbr0", "10.81.1.1/24");
    expect_ok(bridge.apply(config, {}));
    config["ipv4.address"] = "10.81.9.1/24";
    expect_ok(bridge.apply(config, {}));
    const auto state = interface_state("testbr0");
    std::vector<std::string> ipv4;
    for (const auto& address : state->addresses) {
        if (address.family == "inet") ipv4.push_back(address.address);
    }
    EXPECT_EQ(ipv4, std::vector<std::string>{"10.81.9.1"});
}

TEST_F(BridgeTest, LeavesABridgeOfSomebodyElseAlone) {
    const auto made = run_checked({.argv = {"ip", "link", "add", "testbr0", "type", "bridge"},
                                   .extra_env = {},
                                   .input = {},
                                   .cwd = {},
                                   .timeout = {}});
    ASSERT_TRUE(made);
    Bridge& bridge = open("testbr0");
    const auto applied = bridge.apply(config_of("testbr0", "10.81.1.1/24"), {});
    ASSERT_FALSE(applied);
    EXPECT_EQ(applied.error().status, Status::conflict);
    expect_ok(bridge.remove());
    EXPECT_TRUE(interface_state("testbr0"));
}

TEST_F(BridgeTest, TakesABridgeThatACrashLeftUnmarked) {
    auto config = config_of("testbr0", "10.81.1.1/24");
    const auto made = run_checked({.argv = {"ip", "link", "add", "testbr0", "address",
                                            config["volatile.bridge.hwaddr"], "type", "bridge"},
                                   .extra_env = {},
                                   .input = {},
                                   .cwd = {},
                                   .timeout = {}});
    ASSERT_TRUE(made);
    Bridge& bridge = open("testbr0");
    expect_ok(bridge.apply(config, {}));
    expect_ok(bridge.remove());
    EXPECT_FALSE(interface_state("testbr0"));
}

TEST_F(BridgeTest, IsRemovedByADaemonThatNeverAppliedIt) {
    expect_ok(open("testbr0").apply(config_of("testbr0", "10.81.1.1/24"), {}));
    expect_ok(open("testbr0").remove());
    EXPECT_FALSE(interface_state("testbr0"));
    EXPECT_EQ(dnsmasq_pid("testbr0"), 0);
}

TEST_F(BridgeTest, RestoresRulesThatSomebodyChanged) {
    Bridge& bridge = open("testbr0");
    const auto config = config_of("testbr0", "10.81.1.1/24");
    expect_ok(bridge.apply(config, {}));
    const std::string list = R"({"nftables":[{"list":{"ruleset":null}}]})";
    const std::string before = run_nftables(list).value_or("");
    EXPECT_THAT(before, ::testing::HasSubstr("masquerade"));
    expect_ok(bridge.apply(config, {}));
    EXPECT_EQ(run_nftables(list).value_or(""), before) << "the same rules with the same handles";
    ASSERT_TRUE(run_nftables(
        R"({"nftables":[{"flush":{"chain":{"family":"inet","table":"lxmgr","name":"pstrt.testbr0"}}}]})"));
    expect_ok(bridge.apply(config, {}));
    EXPECT_THAT(run_nftables(list).value_or(""), ::testing::HasSubstr("masquerade"));
}

TEST_F(BridgeTest, SaysWhenDnsmasqCannotReachItsDirectory) {
    ASSERT_EQ(::chmod(state_dir_.c_str(), 0700), 0);
    const auto applied = open("testbr0").apply(config_of("testbr0", "10.81.1.1/24"), {});
    ASSERT_FALSE(applied);
    EXPECT_THAT(applied.error().message, ::testing::HasSubstr(state_dir_ + "' is closed to user"));
}

TEST_F(BridgeTest, RefusesClaimsThatCouldWriteMoreThanAnEntry) {
    Bridge& bridge = open("testbr0");
    expect_ok(bridge.apply(config_of("testbr0", "10.81.1.1/24"), {}));
    for (const AddressClaim& claim :
         {AddressClaim{"web\n00:16:3e:00:00:12", "eth0", kGuestMac, "", "", false},
          AddressClaim{"web,ignore", "eth0", kGuestMac, "", "", false},
          AddressClaim{"web", "eth0", kGuestMac + ",ignore", "", "", false},
          AddressClaim{"web", "eth0", kGuestMac, "10.81.1.5,set:x", "", false},
          AddressClaim{"web", "eth0", kGuestMac, "", "fd42::1],x", false}}) {
        EXPECT_FALSE(bridge.set_claim(claim));
    }
    EXPECT_FALSE(path_exists(state_dir_ + "/testbr0/dnsmasq.hosts/web.eth0"));
}

TEST_F(BridgeTest, RemovesAllOfItAndKeepsTheOther) {
    Bridge& first = open("testbr0");
    Bridge& second = open("testbr1");
    expect_ok(first.apply(config_of("testbr0", "10.81.1.1/24"),
                          {{"web", "eth0", kGuestMac, "10.81.1.50", "", false}}));
    expect_ok(second.apply(config_of("testbr1", "10.81.2.1/24"), {}));
    const pid_t pid = dnsmasq_pid("testbr0");
    const pid_t other = dnsmasq_pid("testbr1");
    expect_ok(first.remove());
    expect_ok(first.remove());
    EXPECT_FALSE(interface_state("testbr0"));
    const auto cmdline = read_file("/proc/" + std::to_string(pid) + "/cmdline");
    EXPECT_TRUE(!cmdline || cmdline->empty()) << "dnsmasq still runs";
    EXPECT_EQ(dnsmasq_pid("testbr1"), other);
    EXPECT_TRUE(interface_state("testbr1"));
    const std::string rules = run_nftables(R"({"nftables":[{"list":{"ruleset":null}}]})").value_or("");
    EXPECT_THAT(rules, ::testing::Not(::testing::HasSubstr("testbr0")));
    EXPECT_THAT(rules, ::testing::HasSubstr("testbr1"));
    expect_ok(second.remove());
    EXPECT_THAT(run_nftables(R"({"nftables":[{"list":{"ruleset":null}}]})").value_or("lxmgr"),
                ::testing::Not(::testing::HasSubstr("lxmgr")));
    EXPECT_EQ(interface_states()->size(), 1u) << "only the loopback is left";
    EXPECT_FALSE(path_exists(state_dir_ + "/testbr0/dnsmasq.hosts"));
    EXPECT_FALSE(path_exists(state_dir_ + "/testbr0/dnsmasq.leases"));
    EXPECT_FALSE(path_exists(state_dir_ + "/testbr0/dnsmasq.pid"));
}

TEST_F(BridgeTest, WithoutAddressesIsABareSwitch) {
    Bridge& bridge = open("testbr0");
    expect_ok(bridge.apply(config_of("testbr0", "none"), {}));
    EXPECT_EQ(dnsmasq_pid("testbr0"), 0);
    EXPECT_EQ(bridge.choose_ipv4({"web", "eth0", kGuestMac, "", "", false}, {}).value_or("?"), "");
    const auto leases = bridge.leases({});
    EXPECT_TRUE(leases && leases->empty());
}

}  // namespace
}  // namespace lxmgr::network
