#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/api/instance_state.h"
#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::api {

/// A network: managed, or an interface of the host.
struct Network {
    std::string name, description, type;
    ConfigMap config;
    std::vector<std::string> used_by;
    bool managed = false;
};
nlohmann::json to_json(const Network& network);
nlohmann::json etag_fields(const Network& network);

struct NetworkPut {
    std::string description;
    ConfigMap config;
};
Result<NetworkPut> parse_network_put(const nlohmann::json& body);
Result<NetworkPut> patch_network(const nlohmann::json& body, NetworkPut current);

struct NetworksPost {
    std::string name, type;  ///< empty type: bridge
    NetworkPut fields;
};
Result<NetworksPost> parse_networks_post(const nlohmann::json& body);

/// GET /1.0/networks/NAME/state
/// Of the kernel's bridge.
struct NetworkStateBridge {
    std::string id;
    bool stp = false;
    std::uint32_t forward_delay = 0;  ///< hundredths of a second
    std::uint16_t vlan_default = 0;
    bool vlan_filtering = false;
    std::vector<std::string> upper_devices;  ///< the interfaces in it, as LXD calls them
};

struct NetworkState {
    std::vector<NetworkAddress> addresses;
    NetworkCounters counters;
    std::string hwaddr, state, type;
    int mtu = 0;
    std::optional<NetworkStateBridge> bridge;
};
nlohmann::json to_json(const NetworkState& state);

struct NetworkLease {
    std::string hostname, hwaddr, address, type;
};
nlohmann::json to_json(const NetworkLease& lease);

}  // namespace lxmgr::api
