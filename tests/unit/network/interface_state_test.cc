#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "network/bridge.h"
#include "tests/unit/network/dhcp_client.h"
#include "tests/unit/network/own_netns.h"

namespace lxmgr::network {
namespace {

class InterfaceStateTest : public NetnsTest {};

const InterfaceState& named(const std::vector<InterfaceState>& all, const std::string& name) {
    const auto found = std::ranges::find(all, name, &InterfaceState::name);
    EXPECT_NE(found, all.end()) << name;
    return *found;
}

TEST_F(InterfaceStateTest, ShowsTheLoopbackOfAFreshNamespace) {
    const auto all = interface_states();
    ASSERT_TRUE(all);
    ASSERT_EQ(all->size(), 1u);
    const InterfaceState& lo = all->front();
    EXPECT_EQ(lo.name, "lo");
    EXPECT_EQ(lo.type, "loopback");
    EXPECT_EQ(lo.state, "up");
    EXPECT_EQ(lo.hwaddr, "");
    EXPECT_EQ(lo.mtu, 65536);
    ASSERT_EQ(lo.addresses.size(), 2u);
    EXPECT_EQ(lo.addresses[0].address, "127.0.0.1");
    EXPECT_EQ(lo.addresses[0].netmask, "8");
    EXPECT_EQ(lo.addresses[0].scope, "local");
    EXPECT_EQ(lo.addresses[1].address, "::1");
    EXPECT_EQ(lo.addresses[1].family, "inet6");
}

TEST_F(InterfaceStateTest, ReadsAnotherNamespaceWithoutLeavingThisOne) {
    const Netns guest;
    const auto before = interface_states_of(guest.fd());  // no link crosses yet: it has no id
    ASSERT_TRUE(before) << before.error().message;
    EXPECT_EQ(before->size(), 1u);
    ASSERT_TRUE(create_veth({"vethtest0", "eth0", "00:16:3e:00:00:11", "", 1400, guest.fd()}));
    guest.run([] { configure_ipv4("eth0", "192.0.2.7", 25, ""); });
    const auto inside = interface_states_of(guest.fd());
    ASSERT_TRUE(inside);
    ASSERT_EQ(inside->size(), 2u);
    const InterfaceState& eth0 = named(*inside, "eth0");
    EXPECT_EQ(eth0.hwaddr, "00:16:3e:00:00:11");
    EXPECT_EQ(eth0.kind, "veth");
    EXPECT_EQ(eth0.type, "broadcast");
    EXPECT_EQ(eth0.state, "up");
    EXPECT_EQ(eth0.mtu, 1400);
    ASSERT_FALSE(eth0.addresses.empty());
    EXPECT_EQ(eth0.addresses[0].address, "192.0.2.7");
    EXPECT_EQ(eth0.addresses[0].netmask, "25");
    EXPECT_EQ(eth0.addresses[0].scope, "global");
    EXPECT_EQ(named(*interface_states(), "vethtest0").state, "up");
}

TEST_F(InterfaceStateTest, CountsWhatWasSent) {
    const Netns guest;
    ASSERT_TRUE(create_veth({"vethtest0", "eth0", "00:16:3e:00:00:11", "", 0, guest.fd()}));
    configure_ipv4("vethtest0", "192.0.2.1", 24, "");
    guest.run([] {
        configure_ipv4("eth0", "192.0.2.2", 24, "");
        EXPECT_EQ(dns_lookup("192.0.2.1", "nobody.is.here", 100), "TIMEOUT");
    });
    const auto inside = interface_states_of(guest.fd());
    const Counters& counters = named(*inside, "eth0").counters;
    EXPECT_GT(counters.packets_sent, 0u);
    EXPECT_GT(counters.bytes_sent, counters.packets_sent);
    EXPECT_EQ(interface_state("vethtest0")->counters.bytes_received, counters.bytes_sent);
}

TEST_F(InterfaceStateTest, AnswersAllThreadsAtOnce) {
    std::vector<Netns> guests(4);
    for (std::size_t i = 0; i < guests.size(); ++i) {
        ASSERT_TRUE(create_veth({"vethtest" + std::to_string(i), "eth" + std::to_string(i), random_hwaddr(),
                                 "", 0, guests[i].fd()}));
    }
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < guests.size(); ++i) {
        threads.emplace_back([&guests, i] {
            for (int round = 0; round < 50; ++round) {
                const auto all = interface_states_of(guests[i].fd());
                ASSERT_TRUE(all);
                EXPECT_EQ(named(*all, "eth" + std::to_string(i)).mtu, 1500);
            }
        });
    }
    for (auto& thread : threads) thread.join();
}

TEST_F(InterfaceStateTest, IsNotFoundForNoInterface) {
    const auto state = interface_state("nothing");
    ASSERT_FALSE(state);
    EXPECT_EQ(state.error().status, Status::not_found);
}

TEST_F(InterfaceStateTest, CreatingVethsFailsWholly) {
    const Netns guest;
    ASSERT_TRUE(create_veth({"vethtest0", "eth0", "00:16:3e:00:00:11", "", 0, guest.fd()}));
    EXPECT_FALSE(create_veth({"vethtest0", "eth1", "00:16:3e:00:00:12", "", 0, guest.fd()}))
        << "the host's name is taken";
    EXPECT_FALSE(create_veth({"vethtest1", "eth0", "00:16:3e:00:00:12", "", 0, guest.fd()}))
        << "the guest's name is taken";
    EXPECT_FALSE(create_veth({"vethtest1", "eth1", "00:16:3e:00:00:12", "nobridge", 0, guest.fd()}));
    EXPECT_FALSE(create_veth({"vethtest1", "eth1", "00:16:3e:00:00:12", "vethtest0", 0, guest.fd()}))
        << "not a bridge";
    EXPECT_FALSE(create_veth({"vethtest1", "eth1", "nonsense", "", 0, guest.fd()}));
    EXPECT_FALSE(create_veth({"much-too-long-name", "eth1", "00:16:3e:00:00:12", "", 0, guest.fd()}));
    EXPECT_EQ(interface_states()->size(), 2u);
    EXPECT_EQ(interface_states_of(guest.fd())->size(), 2u);
    EXPECT_TRUE(delete_link("vethtest0"));
    EXPECT_TRUE(delete_link("vethtest0")) << "absent is success";
    EXPECT_EQ(interface_states_of(guest.fd())->size(), 1u);
}

}  // namespace
}  // namespace lxmgr::network
