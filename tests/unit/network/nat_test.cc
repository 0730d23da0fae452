#include <arpa/inet.h>
#include <poll.h>

#include "network/ip.h"
#include "tests/unit/network/bridge_fixture.h"
#include "tests/unit/network/dhcp_client.h"

namespace lxmgr::network {
namespace {

/// guest -- testbr0 (this namespace) uplink -- world: the world has no route back to the guest's subnet.
class NatTest : public BridgeTest {
protected:
    void SetUp() override {
        BridgeTest::SetUp();
        if (IsSkipped()) return;
        const auto made = create_veth({"uplink", "eth0", "00:16:3e:00:00:99", "", 0, world_.fd()});
        ASSERT_TRUE(made) << made.error().message;
        configure_ipv4("uplink", "192.0.2.1", 24, "");
        world_.run([] { configure_ipv4("eth0", "192.0.2.2", 24, ""); });
    }
    /// The source address that the world sees of datagrams from the guest; empty when none comes. A link that
    /// has just come up may lose the first ones.
    std::string seen_source(const Netns& guest) {
        for (int attempt = 0; attempt < 4; ++attempt) {
            if (auto source = seen_source_once(guest); !source.empty()) return source;
        }
        return "";
    }
    std::string seen_source_once(const Netns& guest) {
        UniqueFd server;
        world_.run([&] { server = udp_socket("192.0.2.2", 7777); });
        guest.run([&] {
            const UniqueFd client = udp_socket("0.0.0.0", 0);
            const sockaddr_in to = endpoint("192.0.2.2", 7777);
            EXPECT_EQ(
                ::sendto(client.get(), "hello", 5, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to), 5);
        });
        pollfd readable{server.get(), POLLIN, 0};
        if (::poll(&readable, 1, 500) != 1) return "";
        char buffer[16];
        sockaddr_in from{};
        socklen_t size = sizeof from;
        EXPECT_EQ(
            ::recvfrom(server.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size), 5);
        return format_ipv4(ntohl(from.sin_addr.s_addr));
    }
    static sockaddr_in endpoint(const std::string& address, std::uint16_t port) {
        sockaddr_in out{};
        out.sin_family = AF_INET;
        out.sin_port = htons(port);
        out.sin_addr.s_addr = htonl(*parse_ipv4(address));
        return out;
    }
    static UniqueFd udp_socket(const std::string& address, std::uint16_t port) {
        UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        const sockaddr_in self = endpoint(address, port);
        EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&self), sizeof self), 0);
        return fd;
    }
    Netns world_;
};

TEST_F(NatTest, HidesGuestsBehindTheHostAndOnlyThen) {
    Bridge& bridge = open("testbr0");
    auto config = config_of("testbr0", "10.81.1.1/24");
    expect_ok(bridge.apply(config, {}));
    const Netns guest;
    plug("testbr0", guest, "vethtest0");
    guest.run([] { configure_ipv4("eth0", "10.81.1.20", 24, "10.81.1.1"); });
    EXPECT_EQ(seen_source(guest), "192.0.2.1");
    config["ipv4.nat"] = "false";
    expect_ok(bridge.apply(config, {}));
    EXPECT_EQ(seen_source(guest), "10.81.1.20");
    config["ipv4.routing"] = "false";
    expect_ok(bridge.apply(config, {}));
    EXPECT_EQ(seen_source(guest), "");
}

TEST_F(NatTest, ResolvesForNobodyOutsideTheBridge) {
    Bridge& bridge = open("testbr0");
    expect_ok(bridge.apply(config_of("testbr0", "10.81.1.1/24"),
                           {{"web", "eth0", kGuestMac, "10.81.1.20", "", false}}));
    const Netns guest;
    plug("testbr0", guest, "vethtest0");
    guest.run([] {
        ASSERT_TRUE(dhcp_exchange("eth0", kGuestMac));
        configure_ipv4("eth0", "10.81.1.20", 24, "10.81.1.1");
        EXPECT_EQ(dns_lookup("10.81.1.1", "web.lxd"), "10.81.1.20");
    });
    EXPECT_EQ(dns_lookup("10.81.1.1", "web.lxd"), "10.81.1.20") << "the host itself may ask";
    world_.run([] {
        configure_ipv4("lo", "127.0.0.1", 8, "192.0.2.1");
        EXPECT_EQ(dns_lookup("10.81.1.1", "web.lxd", 500), "TIMEOUT");
    });
}

TEST_F(NatTest, TwoBridgesReachEachOtherButDoNotResolveForEachOther) {
    Bridge& first = open("testbr0");
    Bridge& second = open("testbr1");
    expect_ok(first.apply(config_of("testbr0", "10.81.1.1/24"), {}));
    expect_ok(second.apply(config_of("testbr1", "10.81.2.1/24"), {}));
    const Netns a;
    const Netns b;
    plug("testbr0", a, "vetha");
    plug("testbr1", b, "vethb", "00:16:3e:00:00:33");
    b.run([] {
        const auto lease = dhcp_exchange("eth0", "00:16:3e:00:00:33");
        ASSERT_TRUE(lease);
        EXPECT_TRUE(lease->address.starts_with("10.81.2."));
    });
    a.run([] {
        const auto lease = dhcp_exchange("eth0", kGuestMac);
        ASSERT_TRUE(lease);
        EXPECT_TRUE(lease->address.starts_with("10.81.1."));
        configure_ipv4("eth0", lease->address, 24, "10.81.1.1");
        EXPECT_EQ(dns_lookup("10.81.1.1", "nobody.lxd"), "NXDOMAIN");
        EXPECT_EQ(dns_lookup("10.81.2.1", "nobody.lxd", 500), "TIMEOUT");
    });
}

}  // namespace
}  // namespace lxmgr::network
