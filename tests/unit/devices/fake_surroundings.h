#pragma once
#include <map>
#include <string>
#include <vector>

#include "lxd-daemon/devices/device.h"

namespace lxmgr::devices {

/// What instances/ would answer; remembers what it was asked.
class FakeSurroundings final : public Surroundings {
public:
    std::optional<api::ConfigMap> network_config(const std::string& network) override {
        const auto found = networks.find(network);
        return found == networks.end() ? std::nullopt : std::optional(found->second);
    }
    Result<NicAddresses> claim_address(const NicClaim& claim) override {
        if (refuse_claims) return fail(Status::conflict, "taken");
        claims.push_back(claim);
        return NicAddresses{claim.ipv4, claim.ipv6};
    }
    [[nodiscard]] NicAddresses held_address(const std::string&, const std::string&,
                                            const std::string&) const override {
        if (claims.empty()) return {};
        return {claims.back().ipv4, claims.back().ipv6};
    }
    Result<> release_address(const std::string& network, const std::string&,
                             const std::string& device) override {
        released.push_back(network + "/" + device);
        return {};
    }
    std::string run_dir(const std::string& instance) override { return "/tmp/" + instance; }
    bool pool_exists(const std::string& pool) override { return pool == "default"; }

    std::map<std::string, api::ConfigMap> networks;
    std::vector<NicClaim> claims;
    std::vector<std::string> released;
    bool refuse_claims = false;
};

/// One instance "c1" with a map of its own, and its devices.
struct FakeInstance {
    FakeSurroundings surroundings;
    sys::IdMap idmap{{{0, 1000000, 65536}}, {{0, 1000000, 65536}}};
    sys::IdmapCache idmaps;
    api::ConfigMap config;
    api::DeviceMap devices;

    DeviceContext context(const std::string& device) {
        return {"c1", device, devices.at(device), config, surroundings, idmap, idmaps, &devices};
    }
    void apply(const api::ConfigMap& changes) {
        for (const auto& [key, value] : changes) {
            if (value.empty()) {
                config.erase(key);
            } else {
                config[key] = value;
            }
        }
    }
};

}  // namespace lxmgr::devices
