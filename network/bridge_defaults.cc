#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "network/bridge.h"
#include "network/bridge_config.h"
#include "network/links.h"

namespace lxmgr::network {
namespace {

constexpr int kAttempts = 200;

std::uint32_t random_below(std::uint32_t limit) {
    return static_cast<std::uint32_t>(std::stoul(random_hex(4), nullptr, 16)) % limit;
}

/// Private blocks of RFC 1918, in the order in which they are tried.
struct Block {
    std::uint32_t first;
    std::uint32_t subnets;  ///< of 256 addresses
};
constexpr Block kBlocks[] = {{0x0a000000, 65536}, {0xac100000, 4096}, {0xc0a80000, 256}};

/// A /24 that no route of this host covers or crosses.
Result<Ipv4Net> free_ipv4_net() {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const std::vector<Ipv4Net> used, used_ipv4_nets(socket));
    for (const Block& block : kBlocks) {
        for (int attempt = 0; attempt < kAttempts; ++attempt) {
            const Ipv4Net net{block.first + random_below(block.subnets) * 256 + 1, 24};
            if (std::ranges::none_of(used, [&](const Ipv4Net& other) { return net.overlaps(other); }))
                return net;
        }
    }
    return fail(Status::unavailable, "No free private IPv4 subnet was found: give ipv4.address yourself");
}

/// A unique local prefix, RFC 4193: 40 random bits as the global id, 16 as the subnet.
Ipv6Net random_ula() {
    const std::string hex = random_hex(7);
    Ipv6Net net{{0xfd, 0x42}, 64};
    for (std::size_t i = 0; i < 6; ++i) {
        net.address[i + 2] = static_cast<std::uint8_t>(std::stoul(hex.substr(2 * i, 2), nullptr, 16));
    }
    net.address[15] = 1;
    return net;
}

}  // namespace

Result<> check_interface_name(std::string_view name) {
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '_' || c == '.';
    };
    const bool fits = !name.empty() && name.size() <= 15;  // IFNAMSIZ less its NUL
    if (!fits || !std::ranges::all_of(name, allowed) || name.front() == '-' || name.front() == '.') {
        return fail(
            Status::bad_request,
            fmt::format(
                "Invalid interface name '{}': must have 1 to 15 of the characters a-z, A-Z, 0-9, '-', '_' "
                "and '.', and start with a letter or digit",
                name));
    }
    return {};
}

Result<> check_network_name(std::string_view name) {
    LX_TRY(check_interface_name(name));
    if (name.size() < 2) return fail(Status::bad_request, "A network name must have at least 2 characters");
    // Directories of /proc/sys/net/*/conf that are no interfaces, and the loopback.
    if (name == "all" || name == "default" || name == "lo" || name == "none") {
        return fail(Status::bad_request, fmt::format("Network name '{}' is reserved", name));
    }
    return {};
}

Result<> check_bridge_config(const std::string& name, const api::ConfigMap& config) {
    LX_TRY(check_network_name(name));
    LX_TRY(parse_bridge_config(name, config));
    return {};
}

Result<> check_subnets_free(const std::string& name, const api::ConfigMap& map) {
    LX_TRY_AS(const BridgeConfig config, parse_bridge_config(name, map));
    LX_TRY_AS(const auto interfaces, interface_states());
    for (const auto& interface : interfaces) {
        if (interface.name == name) continue;
        for (const auto& address : interface.addresses) {
            if (address.scope != "global") continue;
            const std::string text = fmt::format("{}/{}", address.address, address.netmask);
            const auto v4 = parse_ipv4_net(text);
            const auto v6 = parse_ipv6_net(text);
            const bool overlaps = (v4 && config.ipv4.address && config.ipv4.address->overlaps(*v4)) ||
                                  (v6 && config.ipv6.address && config.ipv6.address->overlaps(*v6));
            if (!overlaps) continue;
            return fail(
                Status::conflict,
                fmt::format("Network '{}': its subnet {} overlaps with {} of interface '{}' of this host",
                            name, v4 ? format(*config.ipv4.address) : format(*config.ipv6.address), text,
                            interface.name));
        }
    }
    return {};
}

Result<api::ConfigMap> complete_bridge_config(const std::string& name, api::ConfigMap config, bool is_new) {
    LX_TRY(check_network_name(name));
    const auto wants_auto = [&config, is_new](const std::string& key) {
        const auto found = config.find(key);
        const bool absent = found == config.end() || found->second.empty();
        return absent ? is_new : found->second == "auto";
    };
    if (wants_auto("ipv4.address")) {
        LX_TRY_AS(const Ipv4Net net, free_ipv4_net());
        config["ipv4.address"] = format(net);
        config.try_emplace("ipv4.nat", "true");
    }
    if (wants_auto("ipv6.address")) {
        if (path_exists("/proc/sys/net/ipv6")) {
            config["ipv6.address"] = format(random_ula());
            config.try_emplace("ipv6.nat", "true");
        } else {
            config["ipv6.address"] = "none";
        }
    }
    if (!config.contains("bridge.hwaddr") && !config.contains("volatile.bridge.hwaddr")) {
        config["volatile.bridge.hwaddr"] = random_hwaddr();
    }
    LX_TRY(parse_bridge_config(name, config));
    return config;
}

Result<> check_static_ipv6(const std::string& name, const api::ConfigMap& config,
                           const std::string& address) {
    LX_TRY_AS(const BridgeConfig parsed, parse_bridge_config(name, config));
    if (!parsed.serves_ipv6()) {
        return fail(
            Status::bad_request,
            fmt::format("ipv6.address needs ipv6.address, ipv6.dhcp and ipv6.dhcp.stateful on network '{}'",
                        name));
    }
    const Ipv6Net& net = *parsed.ipv6.address;
    const auto value = parse_ipv6(address);
    if (!value || !net.contains(*value) || *value == net.network() || *value == net.address) {
        return fail(Status::bad_request,
                    fmt::format("ipv6.address '{}' must be an address of network '{}', {}, and not its own",
                                address, name, format(net)));
    }
    return {};
}

Result<> check_static_ipv4(const std::string& name, const api::ConfigMap& config,
                           const std::string& address) {
    LX_TRY_AS(const BridgeConfig parsed, parse_bridge_config(name, config));
    if (!parsed.serves_ipv4()) {
        return fail(Status::bad_request,
                    fmt::format("ipv4.address needs ipv4.address and ipv4.dhcp on network '{}'", name));
    }
    const Ipv4Net& net = *parsed.ipv4.address;
    const auto value = parse_ipv4(address);
    if (!value || !net.contains(*value) || *value == net.network() || *value == net.broadcast()) {
        return fail(Status::bad_request,
                    fmt::format("ipv4.address '{}' must be an address of network '{}', {}", address, name,
                                format(net)));
    }
    if (*value == net.address) {
        return fail(Status::bad_request,
                    fmt::format("ipv4.address '{}' is the address of network '{}' itself", address, name));
    }
    return {};
}

}  // namespace lxmgr::network
