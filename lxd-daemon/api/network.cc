#include "lxd-daemon/api/network.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/common.h"
#include "lxd-daemon/api/json_reader.h"

namespace lxmgr::api {

nlohmann::json to_json(const Network& network) {
    // An interface of the host has neither status nor locations, as in LXD 5.0.2.
    const nlohmann::json locations = network.managed ? nlohmann::json::array({"none"}) : nlohmann::json();
    return {{"name", network.name},       {"description", network.description},
            {"type", network.type},       {"config", network.config},
            {"used_by", network.used_by}, {"managed", network.managed},
            {"locations", locations},     {"status", network.managed ? "Created" : ""}};
}

nlohmann::json etag_fields(const Network& network) {
    return {{"name", network.name},
            {"managed", network.managed},
            {"type", network.type},
            {"description", network.description},
            {"config", network.config}};
}

Result<NetworkPut> parse_network_put(const nlohmann::json& body) {
    NetworkPut out;
    Reader reader(body);
    LX_TRY(reader.text("description", out.description).map("config", out.config).done());
    drop_empty(out.config);
    return out;
}

Result<NetworkPut> patch_network(const nlohmann::json& body, NetworkPut current) {
    ConfigMap config;
    Reader reader(body);
    LX_TRY(reader.text("description", current.description).map("config", config).done());
    merge_config(config, current.config);
    return current;
}

Result<NetworksPost> parse_networks_post(const nlohmann::json& body) {
    NetworksPost out;
    LX_TRY(Reader(body).text("name", out.name).text("type", out.type).done());
    LX_TRY_AS(out.fields, parse_network_put(body));
    if (out.name.empty()) return fail(Status::bad_request, "No name provided");
    return out;
}

namespace {

nlohmann::json bridge_json(const NetworkStateBridge& bridge) {
    return {{"id", bridge.id},
            {"stp", bridge.stp},
            {"forward_delay", bridge.forward_delay},
            {"vlan_default", bridge.vlan_default},
            {"vlan_filtering", bridge.vlan_filtering},
            {"upper_devices", bridge.upper_devices}};
}

}  // namespace

nlohmann::json to_json(const NetworkState& state) {
    auto addresses = nlohmann::json::array();
    for (const auto& address : state.addresses) {
        addresses.push_back({{"family", address.family},
                             {"address", address.address},
                             {"netmask", address.netmask},
                             {"scope", address.scope}});
    }
    return {{"addresses", std::move(addresses)},
            {"counters",
             {{"bytes_received", state.counters.bytes_received},
              {"bytes_sent", state.counters.bytes_sent},
              {"packets_received", state.counters.packets_received},
              {"packets_sent", state.counters.packets_sent}}},
            {"hwaddr", state.hwaddr},
            {"mtu", state.mtu},
            {"state", state.state},
            {"type", state.type},
            {"bond", nullptr},
            {"bridge", state.bridge ? bridge_json(*state.bridge) : nlohmann::json(nullptr)},
            {"vlan", nullptr},
            {"ovn", nullptr}};
}

nlohmann::json to_json(const NetworkLease& lease) {
    return {{"hostname", lease.hostname},
            {"hwaddr", lease.hwaddr},
            {"address", lease.address},
            {"type", lease.type},
            {"location", "none"}};
}

}  // namespace lxmgr::api
