#include "lxd-daemon/devices/nic_identity.h"

#include <fmt/format.h>

#include <set>

#include "lxd-daemon/base/strings.h"
#include "network/bridge.h"
#include "profiles/config_keys.h"

namespace lxmgr::devices {

std::unexpected<Error> bad_nic(const DeviceContext& context, const std::string& why) {
    return fail(Status::bad_request,
                fmt::format("Device '{}' of instance '{}': {}", context.device, context.instance, why));
}

std::string static_address(std::string configured) {
    return configured == kNoAddress ? std::string() : std::move(configured);
}

std::string first_of(std::string configured, std::string kept) {
    return configured.empty() ? std::move(kept) : std::move(configured);
}

std::string hwaddr_of(const DeviceContext& context) {
    return to_lower(first_of(context.key("hwaddr"), context.volatile_value("hwaddr")));
}

namespace {

/// Names inside that other NICs of the instance have or were given.
std::set<std::string> names_taken(const DeviceContext& context) {
    std::set<std::string> taken;
    for (const auto& [device, keys] : *context.siblings) {
        if (device == context.device) continue;
        const DeviceContext other{context.instance,     device,        keys,          context.instance_config,
                                  context.surroundings, context.idmap, context.idmaps};
        if (other.key("type") == "nic")
            taken.insert(first_of(other.key("name"), other.volatile_value("name")));
    }
    return taken;
}

/// Empty where the siblings are not known: then the kernel picks the first free ethN when the link is made.
std::string choose_name(const DeviceContext& context) {
    if (context.siblings == nullptr) return {};
    const auto taken = names_taken(context);
    for (std::size_t number = 0;; ++number) {
        std::string name = fmt::format("eth{}", number);
        if (!taken.contains(name)) return name;
    }
}

/// Empty without an address. What is left of 12 digits fits into IFNAMSIZ.
std::string name_after(const std::string& hwaddr) {
    std::string digits = hwaddr;
    std::erase(digits, ':');
    return digits.size() < 2 ? std::string() : "lxm" + digits.substr(2);
}

}  // namespace

Result<int> mtu_of(const DeviceContext& context) {
    const std::string text = context.key("mtu");
    if (text.empty()) return 0;
    const auto mtu = parse_uint(text);
    if (!mtu || *mtu < 68 || *mtu > 65535)
        return bad_nic(context, fmt::format("mtu '{}' must be a number from 68 to 65535", text));
    return static_cast<int>(*mtu);
}

api::ConfigMap nic_identity(const DeviceContext& context) {
    api::ConfigMap changes;
    if (hwaddr_of(context).empty()) {
        auto& chosen = changes[context.volatile_key("hwaddr")];
        do {
            chosen = network::random_hwaddr();
        } while (!context.surroundings.is_free_hwaddr(chosen));
    }
    if (context.key("name").empty() && context.volatile_value("name").empty()) {
        if (std::string name = choose_name(context); !name.empty())
            changes[context.volatile_key("name")] = std::move(name);
    }
    return changes;
}

std::vector<std::string> list_of(const DeviceContext& context, const char* key) {
    std::vector<std::string> out;
    for (const auto& part : split(context.key(key), ',')) {
        if (!trim(part).empty()) out.emplace_back(trim(part));
    }
    return out;
}

network::RoutedNets nets_of(const DeviceContext& context) {
    network::RoutedNets out;
    for (const char* key : {"ipv4.routes", "ipv4.routes.external"}) {
        for (const auto& text : list_of(context, key))
            out.ipv4.push_back(network::parse_ipv4_net(text).value_or(network::Ipv4Net{}));
    }
    for (const char* key : {"ipv6.routes", "ipv6.routes.external"}) {
        for (const auto& text : list_of(context, key))
            out.ipv6.push_back(network::parse_ipv6_net(text).value_or(network::Ipv6Net{}));
    }
    return out;
}

std::string nic_value(const DeviceContext& context, const api::ConfigMap& changes, const char* key) {
    const auto changed = changes.find(context.volatile_key(key));
    return first_of(context.key(key),
                    changed == changes.end() ? context.volatile_value(key) : changed->second);
}

Result<std::string> free_host_name(const DeviceContext& context, const std::string& hwaddr) {
    const std::string kept = context.volatile_value("host_name");
    if (!kept.empty()) LX_TRY(network::delete_veth(kept));
    std::string wanted = context.key("host_name");
    if (wanted.empty() && context.surroundings.names_after_mac()) wanted = name_after(hwaddr);
    if (wanted.empty()) return network::random_host_name();
    network::finish_deletions();  // the run before had the same name
    if (network::interface_state(wanted)) {
        return fail(Status::conflict,
                    fmt::format("Device '{}' of instance '{}': interface '{}' exists on this host already",
                                context.device, context.instance, wanted));
    }
    return wanted;
}

bool is_connected(const DeviceContext& context) {
    const std::string text = context.key("connected");
    return text.empty() || profiles::parse_bool(text);
}

Result<> require_host_end(const DeviceContext& context) {
    const std::string host_name = context.volatile_value("host_name");
    if (!host_name.empty() && network::interface_state(host_name)) return {};
    return fail(Status::not_found,
                fmt::format("Device '{}' of instance '{}': its interface '{}' on the host is gone",
                            context.device, context.instance, host_name));
}

}  // namespace lxmgr::devices
