#include "network/parent_network.h"

#include <fmt/format.h>

#include <algorithm>

#include "network/bridge.h"
#include "network/bridge_values.h"

namespace lxmgr::network {
namespace {

constexpr std::string_view kParentTypes[] = {"macvlan", "physical"};

Result<> check_parent_name(const Field& field) {
    if (check_interface_name(field.value)) return {};
    return bad_value(field, "the name of an interface of the host");
}

Result<> check_parent_mtu(const Field& field) {
    const auto mtu = parse_uint(field.value);
    if (mtu && *mtu >= 1280 && *mtu <= 16384) return {};
    return bad_value(field, "a number from 1280 to 16384");
}

Result<> check_parent_vlan(const Field& field) {
    const auto id = parse_uint(field.value);
    if (id && *id >= 1 && *id <= 4094) return {};
    return bad_value(field, "a number from 1 to 4094");
}

Result<> check_flag(const Field& field) {
    bool ignored = false;
    return set_bool(ignored, field);
}

struct ParentKey {
    std::string_view name;
    Result<> (*check)(const Field& field);
};
constexpr ParentKey kParentKeys[] = {
    {"gvrp", check_flag},
    {"mtu", check_parent_mtu},
    {"parent", check_parent_name},
    {"vlan", check_parent_vlan},
};

Result<> check_parent_key(const Field& field) {
    const auto known = std::ranges::find(kParentKeys, field.key, &ParentKey::name);
    if (known != std::end(kParentKeys)) return known->check(field);
    if (field.key.starts_with("user.") && field.key.size() > 5) return {};
    return fail(
        Status::bad_request,
        fmt::format(
            "Unknown network key '{}': networks of types macvlan and physical have gvrp, mtu, parent, "
            "vlan and user.*",
            field.key));
}

}  // namespace

bool is_on_parent(std::string_view type) {
    return std::ranges::find(kParentTypes, type) != std::end(kParentTypes);
}

Result<> check_parent_network(const std::string& name, const api::ConfigMap& config) {
    LX_TRY(check_network_name(name));
    for (const auto& [key, value] : config) LX_TRY(check_parent_key({key, value}));
    const std::string parent = api::value_of(config, "parent");
    if (parent.empty())
        return fail(
            Status::bad_request,
            fmt::format("Network '{}' needs the key parent: the interface of the host that it is", name));
    if (config.contains("gvrp") && !config.contains("vlan"))
        return fail(Status::bad_request,
                    fmt::format("Network '{}': gvrp is of a vlan, and there is none", name));
    if (!interface_state(parent))
        return fail(Status::bad_request,
                    fmt::format("Network '{}': there is no interface '{}' on this host", name, parent));
    return {};
}

api::ConfigMap nic_keys_of(std::string_view type, const api::ConfigMap& config) {
    api::ConfigMap out{{"nictype", std::string(type)}};
    for (const auto& key : kParentKeys) {
        const std::string value = api::value_of(config, std::string(key.name));
        if (!value.empty()) out.emplace(key.name, value);
    }
    return out;
}

Result<std::vector<Finding>> examine_parent(const api::ConfigMap& config) {
    const std::string parent = api::value_of(config, "parent");
    const auto interface = interface_state(parent);
    if (!interface) {
        return std::vector<Finding>{
            {"interface", false,
             fmt::format(
                 "The parent '{}' is not on this host: it may have been lent to an instance, or unplugged",
                 parent)}};
    }
    const bool is_up = interface->state == "up";
    return std::vector<Finding>{
        {"interface", is_up,
         is_up ? fmt::format("The parent '{}' is up", parent)
               : fmt::format("The parent '{}' is down: bring it up (ip link set {} up)", parent, parent)}};
}

}  // namespace lxmgr::network
