#pragma once
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "lxd-daemon/base/strings.h"
#include "network/bridge.h"
#include "tests/unit/network/own_netns.h"

namespace lxmgr::network {

inline const std::string kGuestMac = "00:16:3e:00:00:11";

class BridgeTest : public NetnsTest {
protected:
    void TearDown() override {
        for (const auto& bridge : bridges_) EXPECT_TRUE(bridge->remove());
        NetnsTest::TearDown();
    }
    Bridge& open(const std::string& name) {
        auto bridge = Bridge::open(name, state_dir_ + "/" + name);
        EXPECT_TRUE(bridge) << bridge.error().message;
        bridges_.push_back(*std::move(bridge));
        return *bridges_.back();
    }
    static api::ConfigMap config_of(const std::string& name, const std::string& ipv4,
                                    api::ConfigMap more = {}) {
        more["ipv4.address"] = ipv4;
        more.try_emplace("ipv6.address", "none");
        more.try_emplace("ipv4.nat", "true");
        auto config = complete_bridge_config(name, std::move(more));
        EXPECT_TRUE(config) << config.error().message;
        return *config;
    }
    static void plug(const std::string& bridge, const Netns& guest, const std::string& host_name,
                     const std::string& mac = kGuestMac) {
        const auto made = create_veth({host_name, "eth0", mac, bridge, 0, guest.fd()});
        ASSERT_TRUE(made) << made.error().message;
    }
    std::string read(const std::string& file) const {
        return read_file(state_dir_ + "/" + file).value_or("");
    }
    pid_t dnsmasq_pid(const std::string& name) const {
        return static_cast<pid_t>(parse_uint(trim(read(name + "/dnsmasq.pid"))).value_or(0));
    }

private:
    std::vector<std::unique_ptr<Bridge>> bridges_;
};

inline void expect_ok(const Result<>& result) { EXPECT_TRUE(result) << result.error().message; }

}  // namespace lxmgr::network
