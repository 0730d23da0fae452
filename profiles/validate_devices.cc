#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "lxd-daemon/base/strings.h"
#include "profiles/check_key.h"
#include "profiles/config_keys.h"
#include "profiles/key_tables.h"
#include "profiles/vlan.h"

namespace lxmgr::profiles {
namespace {

std::unexpected<Error> bad_device(std::string_view name, std::string_view why) {
    return fail(Status::bad_request, fmt::format("Device validation failed for \"{}\": {}", name, why));
}

std::string_view value_of(const api::ConfigMap& device, const char* key) {
    const auto it = device.find(key);
    return it == device.end() ? std::string_view() : std::string_view(it->second);
}

// The name becomes a part of config keys (volatile.NAME.hwaddr) and file names.
bool is_device_name(std::string_view name) {
    const auto good = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '_' || c == '.' || c == ':';
    };
    if (name.empty() || name.size() > 63 || name.front() == '.' || name.front() == '-') return false;
    return std::ranges::all_of(name, good);
}

Result<> check_keys(std::string_view name, const api::ConfigMap& device, KeyScope scope) {
    for (const auto& [key, value] : device) {
        if (key == "type") continue;
        LX_TRY(check_key_text(key));
        const ConfigKey* row = find_key(scope, key);
        if (row == nullptr && is_foreign_key(scope, key)) {
            return bad_device(name, fmt::format("Device option \"{}\" {}", key, not_supported(scope, key)));
        }
        if (row == nullptr) return bad_device(name, fmt::format("Invalid device option \"{}\"", key));
        if (auto checked = check_value(*row, key, value); !checked)
            return bad_device(name, checked.error().message);
    }
    return {};
}

Result<> check_root_disk(std::string_view name, const api::ConfigMap& device) {
    if (value_of(device, "pool").empty())
        return bad_device(name, "Root disk entry must have a \"pool\" property set");
    for (const char* key : {"attached", "source", "source.snapshot", "source.type", "readonly", "recursive",
                            "required", "shift", "propagation", "raw.mount.options"}) {
        if (device.contains(key)) {
            return bad_device(name, fmt::format("Root disk entry may not have a \"{}\" property set", key));
        }
    }
    return {};
}

Result<> check_tmpfs(std::string_view name, const api::ConfigMap& device) {
    for (const char* key : {"recursive", "required", "shift", "propagation"}) {
        if (!device.contains(key)) continue;
        return bad_device(name, fmt::format("Cannot use \"{}\" property with the source tmpfs:", key));
    }
    return {};
}

Result<> check_volume_disk(std::string_view name, const api::ConfigMap& device) {
    const std::string_view source = value_of(device, "source");
    if (source.empty()) return bad_device(name, "Disk entry is missing the required \"source\" property");
    if (source.contains('/'))
        return bad_device(
            name, "With \"pool\" the source must be a custom volume's name: neither a path nor a snapshot");
    for (const char* key : {"recursive", "shift", "propagation"}) {
        if (!device.contains(key)) continue;
        return bad_device(name,
                          fmt::format("\"{}\" property cannot be used with custom storage volumes", key));
    }
    return {};
}

Result<> check_disk(std::string_view name, const api::ConfigMap& device) {
    LX_TRY(check_keys(name, device, KeyScope::disk));
    const std::string_view path = value_of(device, "path");
    if (path.empty()) return bad_device(name, "Disk entry is missing the required \"path\" property");
    if (path.find_first_not_of('/') == std::string_view::npos) return check_root_disk(name, device);
    if (device.contains("size"))
        return bad_device(name, "\"size\" is only for the root disk; a custom volume has its own");
    if (device.contains("initial.block.filesystem"))
        return bad_device(name, "\"initial.block.filesystem\" is only for the root disk");
    if (!value_of(device, "pool").empty()) return check_volume_disk(name, device);
    for (const char* key : {"source.snapshot", "source.type"}) {
        if (device.contains(key))
            return bad_device(name, fmt::format("\"{}\" property is only for custom storage volumes", key));
    }
    if (value_of(device, "source").empty()) {
        return bad_device(name, "Disk entry is missing the required \"source\" property");
    }
    if (value_of(device, "source") == "tmpfs:") return check_tmpfs(name, device);
    if (value_of(device, "source").starts_with('/')) return {};
    return bad_device(name,
                      "\"source\" must be an absolute path or tmpfs:, or, with \"pool\", a custom volume");
}

Result<> check_bridged(std::string_view name, const api::ConfigMap& device) {
    LX_TRY(check_keys(name, device, KeyScope::nic_bridged));
    const bool has_network = !value_of(device, "network").empty();
    if (has_network) {
        for (const char* key : {"nictype", "parent"}) {
            if (!device.contains(key)) continue;
            return bad_device(
                name,
                fmt::format("Cannot use \"{}\" property in conjunction with \"network\" property", key));
        }
        return {};
    }
    if (value_of(device, "nictype").empty()) {
        return bad_device(name, "NIC needs \"network\", or \"nictype\" and \"parent\"");
    }
    if (value_of(device, "parent").empty())
        return bad_device(name, "NIC needs \"parent\" when no \"network\" is given");
    for (const std::string_view family : {"ipv4", "ipv6"}) {
        const std::string address = fmt::format("{}.address", family);
        const std::string filtering = fmt::format("security.{}_filtering", family);
        if (!device.contains(address) || parse_bool(value_of(device, filtering.c_str()))) continue;
        return bad_device(name, fmt::format("\"{}\" needs a managed network in \"network\", or \"{}\"",
                                            address, filtering));
    }
    return {};
}

Result<> need(std::string_view name, const api::ConfigMap& device, const char* key) {
    if (!value_of(device, key).empty()) return {};
    return bad_device(name, fmt::format("Missing the required \"{}\" property", key));
}

Result<> check_vlans(std::string_view name, const api::ConfigMap& device) {
    if (parse_bool(value_of(device, "gvrp")) && !device.contains("vlan"))
        return bad_device(name, "\"gvrp\" needs \"vlan\"");
    if (device.contains("vlan"))
        LX_TRY(need(name, device, value_of(device, "network").empty() ? "parent" : "network"));
    const auto tagged = parse_vlans(value_of(device, "vlan.tagged"));
    const auto untagged = parse_uint(value_of(device, "vlan"));
    if (!tagged || !untagged) return {};
    const bool both = std::ranges::any_of(
        *tagged, [&](const VlanRange& range) { return *untagged >= range.first && *untagged <= range.last; });
    return both ? Result<>(bad_device(name, "\"vlan\" is one of \"vlan.tagged\" too")) : Result<>{};
}

/// In mode l3s the host routes to addresses, one by one; in mode l2 the guest is in their nets, and its
/// gateway has one of them.
Result<> check_ipvlan(std::string_view name, const api::ConfigMap& device) {
    LX_TRY(check_keys(name, device, KeyScope::nic_ipvlan));
    const bool layer2 = value_of(device, "mode") == "l2";
    for (const std::string_view family : {"ipv4", "ipv6"}) {
        const auto key = [&](std::string_view what) { return fmt::format("{}.{}", family, what); };
        const auto gateway = value_of(device, key("gateway").c_str());
        if (layer2 && gateway == "auto")
            return bad_device(name,
                              fmt::format("\"{}\" must be an address or none in mode l2", key("gateway")));
        const bool is_address = !gateway.empty() && gateway != "none";
        if (layer2 && is_address && value_of(device, key("address").c_str()).empty())
            return bad_device(name, fmt::format("\"{}\" needs \"{}\"", key("gateway"), key("address")));
        if (layer2 && device.contains(key("host_table")))
            return bad_device(
                name, fmt::format("\"{}\" is for mode l3s, where the host has routes", key("host_table")));
        if (layer2) continue;
        if (!gateway.empty() && gateway != "auto" && gateway != "none")
            return bad_device(name, fmt::format("\"{}\" must be auto or none in mode l3s", key("gateway")));
        if (value_of(device, key("address").c_str()).contains('/'))
            return bad_device(
                name, fmt::format("\"{}\" must be addresses without a length in mode l3s", key("address")));
    }
    return need(name, device, "parent");
}

Result<> check_nic(std::string_view name, const api::ConfigMap& device) {
    LX_TRY(check_vlans(name, device));
    const std::string_view type = value_of(device, "nictype");
    if (type == "p2p") return check_keys(name, device, KeyScope::nic_p2p);
    if (type == "ipvlan") return check_ipvlan(name, device);
    if (type == "routed") return check_keys(name, device, KeyScope::nic_routed);
    if (type != "macvlan" && type != "physical") return check_bridged(name, device);
    LX_TRY(check_keys(name, device, type == "macvlan" ? KeyScope::nic_macvlan : KeyScope::nic_physical));
    return need(name, device, "parent");
}

Result<> check_node(std::string_view name, const api::ConfigMap& device, KeyScope scope) {
    LX_TRY(check_keys(name, device, scope));
    if (value_of(device, "path").empty() && value_of(device, "source").empty())
        return bad_device(name, "Unix device entry is missing the required \"source\" or \"path\" property");
    if (device.contains("major") != device.contains("minor"))
        return bad_device(name, "\"major\" and \"minor\" go together");
    const bool has_rates = device.contains("limits.read") || device.contains("limits.write");
    if (has_rates && device.contains("required") && !parse_bool(value_of(device, "required")))
        return bad_device(name, "\"limits.read\" and \"limits.write\" need \"required\"");
    return {};
}

Result<> check_unix_hotplug(std::string_view name, const api::ConfigMap& device) {
    LX_TRY(check_keys(name, device, KeyScope::unix_hotplug));
    if (!value_of(device, "vendorid").empty() || !value_of(device, "productid").empty()) return {};
    return bad_device(name, "Unix hotplug devices need \"vendorid\", \"productid\" or both");
}

Result<> check_proxy_unix(std::string_view name, const api::ConfigMap& device, const ProxyAddress& listen) {
    if (listen.kind == ProxyAddress::Kind::unix_path) return {};
    for (const char* key : {"uid", "gid", "mode"}) {
        if (!device.contains(key)) continue;
        return bad_device(name, fmt::format("Only proxy devices that listen on a unix socket with a path can "
                                            "carry the \"{}\" property",
                                            key));
    }
    return {};
}

Result<> check_proxy_nat(std::string_view name, const api::ConfigMap& device, const ProxyAddress& listen,
                         const ProxyAddress& connect) {
    using Kind = ProxyAddress::Kind;
    if (!parse_bool(value_of(device, "nat"))) return {};
    const std::string_view bind = value_of(device, "bind");
    if (!bind.empty() && bind != "host") return bad_device(name, "\"nat\" is only for \"bind\" host");
    for (const char* key : {"proxy_protocol", "security.uid", "security.gid"}) {
        if (device.contains(key)) return bad_device(name, fmt::format("\"{}\" is not for \"nat\"", key));
    }
    const bool internet =
        listen.kind == connect.kind && (listen.kind == Kind::tcp || listen.kind == Kind::udp);
    if (!internet) return bad_device(name, "\"nat\" is for tcp to tcp and udp to udp");
    if (listen.address.contains(':') != connect.address.contains(':'))
        return bad_device(name, "with \"nat\", both sides must be of one address family");
    if (listen.address.starts_with("127.") || listen.address == "::1")
        return bad_device(
            name,
            "\"nat\" needs a listening address that others can reach, or a wildcard, which includes "
            "the host's loopback");
    return {};
}

Result<> check_proxy(std::string_view name, const api::ConfigMap& device) {
    LX_TRY(check_keys(name, device, KeyScope::proxy));
    for (const char* key : {"listen", "connect"}) LX_TRY(need(name, device, key));
    LX_TRY_AS(const auto listen, parse_proxy_address(value_of(device, "listen")));
    LX_TRY_AS(const auto connect, parse_proxy_address(value_of(device, "connect")));
    using Kind = ProxyAddress::Kind;
    if ((listen.kind == Kind::udp) != (connect.kind == Kind::udp))
        return bad_device(name, "udp can only be forwarded to udp");
    if (connect.ports.size() > 1 && connect.ports.size() != listen.ports.size())
        return bad_device(name, "\"connect\" must have one port, or as many as \"listen\"");
    if (listen.kind == Kind::udp && parse_bool(value_of(device, "proxy_protocol")))
        return bad_device(name, "\"proxy_protocol\" is not for udp");
    LX_TRY(check_proxy_nat(name, device, listen, connect));
    return check_proxy_unix(name, device, listen);
}

Result<> check_none(std::string_view name, const api::ConfigMap& device) {
    for (const auto& [key, value] : device) {
        if (key != "type") return bad_device(name, fmt::format("Invalid device option \"{}\"", key));
    }
    return {};
}

Result<> check_device(const std::string& name, const api::ConfigMap& device) {
    if (!is_device_name(name)) {
        return fail(Status::bad_request,
                    "Invalid device name: 1 to 63 letters, digits, '.', ':', '_' and '-', the first one a "
                    "letter or digit");
    }
    const std::string_view type = value_of(device, "type");
    if (type == "disk") return check_disk(name, device);
    if (type == "nic") return check_nic(name, device);
    if (type == "none") return check_none(name, device);
    if (type == "proxy") return check_proxy(name, device);
    if (type == "gpu") return check_keys(name, device, KeyScope::gpu);
    if (type == "usb") return check_keys(name, device, KeyScope::usb);
    if (type == "unix-hotplug") return check_unix_hotplug(name, device);
    if (type == "unix-block") return check_node(name, device, KeyScope::unix_block);
    if (type == "unix-char") return check_node(name, device, KeyScope::unix_char);
    if (type.empty()) return bad_device(name, "Missing device type");
    if (is_foreign_device_type(type)) {
        return bad_device(name,
                          fmt::format("Device type \"{}\" is not supported by this server (yet)", type));
    }
    return bad_device(name, fmt::format("Unsupported device type \"{}\"", type));
}

// "/mnt//x/" and "/mnt/x" are the same place.
std::string normal_path(std::string_view path) {
    std::string out;
    for (const auto& part : split(path, '/')) {
        if (!part.empty()) out += "/" + part;
    }
    return out.empty() ? "/" : out;
}

Result<> check_distinct(const api::DeviceMap& devices, const char* type, const char* key,
                        std::string (*normalise)(std::string_view)) {
    std::map<std::string, std::string> seen;
    for (const auto& [name, device] : devices) {
        const std::string_view value = value_of(device, key);
        if (value_of(device, "type") != type || value.empty()) continue;
        const auto [it, fresh] = seen.emplace(normalise(value), name);
        if (!fresh) {
            return fail(Status::bad_request,
                        fmt::format("Invalid devices: \"{}\" and \"{}\" have the same {} \"{}\"", it->second,
                                    name, key, value));
        }
    }
    return {};
}

Result<> check_expanded(const api::DeviceMap& devices) {
    const auto same = [](std::string_view text) { return std::string(text); };
    const auto lower = [](std::string_view text) { return to_lower(text); };
    LX_TRY(check_distinct(devices, "disk", "path", normal_path));
    LX_TRY(check_distinct(devices, "nic", "name", same));
    LX_TRY(check_distinct(devices, "nic", "hwaddr", lower));
    LX_TRY(check_distinct(devices, "nic", "host_name", same));
    for (const auto& [name, device] : devices) {
        if (value_of(device, "type") == "disk" && normal_path(value_of(device, "path")) == "/") return {};
    }
    return fail(Status::bad_request,
                "Invalid devices: Failed detecting root disk device: No root device could be found");
}

}  // namespace

Result<> validate_devices(const api::DeviceMap& devices, bool expanded) {
    for (const auto& [name, device] : devices) LX_TRY(check_device(name, device));
    if (expanded) return check_expanded(devices);
    // Another layer may yet change what collides here, but two roots are a slip.
    api::DeviceMap roots;
    for (const auto& [name, device] : devices) {
        if (value_of(device, "type") == "disk" && normal_path(value_of(device, "path")) == "/")
            roots.emplace(name, device);
    }
    return check_distinct(roots, "disk", "path", normal_path);
}

}  // namespace lxmgr::profiles
