#include "lxd-daemon/devices/nic.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "network/bridge.h"
#include "tests/unit/devices/fake_surroundings.h"
#include "tests/unit/network/own_netns.h"

namespace lxmgr::devices {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class NicTest : public network::NetnsTest {
protected:
    void SetUp() override {
        NetnsTest::SetUp();
        if (IsSkipped()) return;
        instance_.surroundings.networks["testbr0"] = {{"ipv4.address", "10.81.1.1/24"}};
        instance_.devices["eth0"] = {{"type", "nic"}, {"network", "testbr0"}};
        // A bridge as any other: the device needs its name only.
        bridge_ = *network::Bridge::open("testbr0", state_dir_ + "/testbr0");
        auto config =
            network::complete_bridge_config("testbr0", {{"ipv4.address", "none"}, {"ipv6.address", "none"}});
        ASSERT_TRUE(bridge_->apply(*config, {}));
    }
    void TearDown() override {
        if (bridge_) {
            EXPECT_TRUE(bridge_->remove());
        }
        NetnsTest::TearDown();
    }
    std::vector<network::InterfaceState> inside() const {
        return network::interface_states_of(guest_->fd()).value_or(std::vector<network::InterfaceState>{});
    }
    void start(const std::string& device) {
        auto started = nic().start(instance_.context(device));
        ASSERT_TRUE(started) << started.error().message;
        instance_.apply(started->volatile_changes);
        const auto linked = started->in_network(guest_->fd());
        ASSERT_TRUE(linked) << linked.error().message;
    }

    FakeInstance instance_;
    std::unique_ptr<network::Bridge> bridge_;
    std::optional<network::Netns> guest_{std::in_place};
};

TEST_F(NicTest, IsInsideWithItsMacAfterStartAndGoneAfterStop) {
    instance_.apply(*nic().prepare(instance_.context("eth0")));
    const std::string hwaddr = instance_.config["volatile.eth0.hwaddr"];
    EXPECT_THAT(hwaddr, StartsWith("00:16:3e:"));
    EXPECT_EQ(instance_.config["volatile.eth0.name"], "eth0");
    start("eth0");
    EXPECT_EQ(instance_.config["volatile.eth0.hwaddr"], hwaddr);
    const std::string host_name = instance_.config["volatile.eth0.host_name"];
    EXPECT_THAT(host_name, StartsWith("veth"));
    const auto links = inside();
    const auto eth0 = std::ranges::find(links, "eth0", &network::InterfaceState::name);
    ASSERT_NE(eth0, links.end());
    EXPECT_EQ(eth0->hwaddr, hwaddr);
    EXPECT_EQ(eth0->state, "up");
    EXPECT_TRUE(network::interface_state(host_name));
    ASSERT_EQ(instance_.surroundings.claims.size(), 1u);
    EXPECT_EQ(instance_.surroundings.claims[0].hwaddr, hwaddr);
    EXPECT_TRUE(nic().recover(instance_.context("eth0")));

    instance_.apply(*nic().stop(instance_.context("eth0")));
    EXPECT_FALSE(network::interface_state(host_name));
    EXPECT_EQ(inside().size(), 1u);
    EXPECT_FALSE(instance_.config.contains("volatile.eth0.host_name"));
    EXPECT_EQ(instance_.config["volatile.eth0.hwaddr"], hwaddr) << "kept for life";
    EXPECT_TRUE(nic().stop(instance_.context("eth0"))) << "absent is success";
    EXPECT_FALSE(nic().recover(instance_.context("eth0")));
}

TEST_F(NicTest, DeletesItsLinkInTheBackgroundAfterARun) {
    start("eth0");
    auto context = instance_.context("eth0");
    context.run_over = true;
    const std::string host_name = context.volatile_value("host_name");
    const auto changes = nic().stop(context);
    ASSERT_TRUE(changes);
    EXPECT_EQ(changes->at("volatile.eth0.host_name"), "");
    network::finish_deletions();
    EXPECT_FALSE(network::interface_state(host_name));
}

TEST_F(NicTest, KeepsNothingAfterRemove) {
    start("eth0");
    instance_.apply(*nic().remove(instance_.context("eth0")));
    EXPECT_TRUE(instance_.config.empty());
    EXPECT_EQ(instance_.surroundings.released, std::vector<std::string>{"testbr0/eth0"});
    EXPECT_EQ(inside().size(), 1u);
}

TEST_F(NicTest, TakesNamesThatNoOtherNicHas) {
    instance_.devices["aux"] = {{"type", "nic"}, {"network", "testbr0"}};
    instance_.devices["eth0"]["name"] = "eth0";
    instance_.devices["more"] = {{"type", "nic"}, {"network", "testbr0"}};
    for (const char* device : {"aux", "eth0", "more"}) start(device);
    EXPECT_EQ(instance_.config["volatile.aux.name"], "eth1");
    EXPECT_FALSE(instance_.config.contains("volatile.eth0.name"));
    EXPECT_EQ(instance_.config["volatile.more.name"], "eth2");
    EXPECT_EQ(inside().size(), 4u);
}

TEST_F(NicTest, LetsTheKernelNameItWhenSiblingsAreUnknown) {
    auto context = instance_.context("eth0");
    context.siblings = nullptr;
    auto started = nic().start(context);
    ASSERT_TRUE(started);
    const auto linked = started->in_network(guest_->fd());
    ASSERT_TRUE(linked) << linked.error().message;
    const auto links = inside();
    EXPECT_NE(std::ranges::find(links, "eth0", &network::InterfaceState::name), links.end());
}

TEST_F(NicTest, ReplacesTheLinkOfARunThatACrashCutOff) {
    start("eth0");
    const std::string old_name = instance_.config["volatile.eth0.host_name"];
    guest_.emplace();
    start("eth0");
    EXPECT_FALSE(network::interface_state(old_name));
    EXPECT_TRUE(network::interface_state(instance_.config["volatile.eth0.host_name"]));
}

TEST_F(NicTest, NeverTakesOrDeletesAnInterfaceOfSomebodyElse) {
    instance_.devices["eth0"]["host_name"] = "testbr0";
    const auto started = nic().start(instance_.context("eth0"));
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().status, Status::conflict);
    instance_.config["volatile.eth0.host_name"] = "testbr0";
    EXPECT_FALSE(nic().stop(instance_.context("eth0")));
    EXPECT_TRUE(network::interface_state("testbr0"));
}

TEST_F(NicTest, MakesNothingWhenTheAddressIsRefused) {
    instance_.surroundings.refuse_claims = true;
    EXPECT_FALSE(nic().start(instance_.context("eth0")));
    EXPECT_EQ(network::interface_states()->size(), 2u);
}

TEST_F(NicTest, LeavesNoHostEndWhenTheGuestEndCannotBeMade) {
    start("eth0");
    instance_.devices["two"] = {
        {"type", "nic"}, {"network", "testbr0"}, {"name", "eth0"}, {"host_name", "vethtwo"}};
    auto started = nic().start(instance_.context("two"));
    ASSERT_TRUE(started);
    EXPECT_FALSE(started->in_network(guest_->fd())) << "eth0 is taken inside";
    EXPECT_FALSE(network::interface_state("vethtwo"));
}

TEST_F(NicTest, UpdatesItsAddressLive) {
    start("eth0");
    const auto before = instance_.context("eth0");
    instance_.devices["eth0"]["ipv4.address"] = "10.81.1.77";
    ASSERT_TRUE(nic().update(before, instance_.context("eth0")));
    EXPECT_EQ(instance_.surroundings.claims.back().ipv4, "10.81.1.77");
    EXPECT_EQ(instance_.surroundings.claims.back().hwaddr, instance_.config["volatile.eth0.hwaddr"]);
}

TEST_F(NicTest, ValidatesWhatItRefersTo) {
    const auto error_with = [&](const std::string& key, const std::string& value) {
        FakeInstance other;
        other.surroundings.networks = instance_.surroundings.networks;
        other.devices["eth0"] = instance_.devices["eth0"];
        other.devices["eth0"][key] = value;
        const auto checked = nic().validate(other.context("eth0"));
        return checked ? std::string() : checked.error().message;
    };
    EXPECT_EQ(error_with("ipv4.address", "10.81.1.9"), "");
    EXPECT_THAT(error_with("network", "nowhere"), HasSubstr("network 'nowhere' does not exist"));
    for (const char* address : {"10.81.2.9", "10.81.1.1", "10.81.1.0", "10.81.1.255", "x", ""}) {
        EXPECT_EQ(error_with("ipv4.address", address).empty(), std::string_view(address).empty()) << address;
    }
    EXPECT_THAT(error_with("mtu", "20"), HasSubstr("mtu '20'"));
}

}  // namespace
}  // namespace lxmgr::devices
