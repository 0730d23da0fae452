#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>

#include <algorithm>
#include <chrono>

#include "network/ip.h"
#include "tests/unit/network/bridge_fixture.h"

namespace lxmgr::network {
namespace {

class Ipv6Test : public BridgeTest {
protected:
    void SetUp() override {
        BridgeTest::SetUp();
        if (!IsSkipped() && !path_exists("/proc/sys/net/ipv6")) GTEST_SKIP() << "needs IPv6 in the kernel";
    }
    static api::ConfigMap ipv6_config(api::ConfigMap more = {}) {
        more["ipv6.address"] = "fd42:81:1:1::1/64";
        return config_of("testbr0", "none", std::move(more));
    }
    static std::vector<std::string> global_addresses(int netns_fd) {
        std::vector<std::string> out;
        const auto states = interface_states_of(netns_fd);
        if (!states) return out;
        for (const auto& state : *states) {
            for (const auto& address : state.addresses) {
                if (address.family == "inet6" && address.scope == "global") out.push_back(address.address);
            }
        }
        return out;
    }
    /// Waits for a global address inside: each change of addresses is a message of the kernel.
    static std::vector<std::string> wait_for_global_address(const Netns& guest) {
        UniqueFd events;
        guest.run([&events] {
            events.reset(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
            sockaddr_nl self{};
            self.nl_family = AF_NETLINK;
            self.nl_groups = RTMGRP_IPV6_IFADDR;
            ASSERT_EQ(::bind(events.get(), reinterpret_cast<sockaddr*>(&self), sizeof self), 0);
        });
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (std::chrono::steady_clock::now() < deadline) {
            if (auto found = global_addresses(guest.fd()); !found.empty()) return found;
            pollfd readable{events.get(), POLLIN, 0};
            if (::poll(&readable, 1, 20000) != 1) break;
            char buffer[8192];
            EXPECT_GT(::recv(events.get(), buffer, sizeof buffer, 0), 0);
        }
        return {};
    }
};

TEST_F(Ipv6Test, BridgeHasItsAddressAtOnceAndListensToNoGuest) {
    expect_ok(open("testbr0").apply(ipv6_config(), {}));
    const auto state = interface_state("testbr0");
    const auto global = std::ranges::find(state->addresses, "global", &Address::scope);
    ASSERT_NE(global, state->addresses.end());
    EXPECT_EQ(global->address, "fd42:81:1:1::1");
    EXPECT_EQ(global->netmask, "64");
    EXPECT_EQ(*read_file("/proc/sys/net/ipv6/conf/testbr0/accept_ra"), "0\n");
    EXPECT_EQ(*read_file("/proc/sys/net/ipv6/conf/all/forwarding"), "1\n");
    // Bound there: a second server on the same address would be refused.
    const UniqueFd fd(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in6 self{};
    self.sin6_family = AF_INET6;
    self.sin6_port = htons(53);
    const Ipv6 address = *parse_ipv6("fd42:81:1:1::1");
    std::ranges::copy(address, self.sin6_addr.s6_addr);
    EXPECT_LT(::bind(fd.get(), reinterpret_cast<sockaddr*>(&self), sizeof self), 0);
    EXPECT_EQ(errno, EADDRINUSE);
}

TEST_F(Ipv6Test, GuestConfiguresItselfByRouterAdvertisement) {
    Bridge& bridge = open("testbr0");
    expect_ok(bridge.apply(ipv6_config(), {}));
    const Netns guest;
    plug("testbr0", guest, "vethtest0");
    const auto found = wait_for_global_address(guest);
    EXPECT_THAT(found, ::testing::ElementsAre("fd42:81:1:1:216:3eff:fe00:11"));
    const auto leases = bridge.leases({{"web", "eth0", kGuestMac, "", "", false}});
    ASSERT_TRUE(leases);
    EXPECT_TRUE(std::ranges::any_of(
        *leases, [](const Lease& lease) { return lease.address == "fd42:81:1:1:216:3eff:fe00:11"; }));
}

TEST_F(Ipv6Test, KeepsTheHostsOwnRouterAdvertisementsWhenForwardingStarts) {
    const Netns world;
    ASSERT_TRUE(create_veth({"uplink", "eth0", "00:16:3e:00:00:99", "", 0, world.fd()}));
    EXPECT_EQ(*read_file("/proc/sys/net/ipv6/conf/uplink/accept_ra"), "1\n");
    expect_ok(open("testbr0").apply(ipv6_config(), {}));
    EXPECT_EQ(*read_file("/proc/sys/net/ipv6/conf/uplink/accept_ra"), "2\n");
    EXPECT_EQ(*read_file("/proc/sys/net/ipv6/conf/default/accept_ra"), "1\n") << "not for links yet to come";
}

TEST_F(Ipv6Test, StartsAServerForStatefulDhcp) {
    Bridge& bridge = open("testbr0");
    expect_ok(bridge.apply(ipv6_config({{"ipv6.dhcp.stateful", "true"},
                                        {"ipv6.dhcp.ranges", "fd42:81:1:1::100-fd42:81:1:1::200"}}),
                           {}));
    expect_ok(bridge.set_claim({"web", "eth0", kGuestMac, "", "fd42:81:1:1::105", true}));
    EXPECT_EQ(read("testbr0/dnsmasq.hosts/web.eth0"), kGuestMac + ",id:*,[fd42:81:1:1::105],web\n");
}

}  // namespace
}  // namespace lxmgr::network
