#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/base/strings.h"
#include "network/bridge_config.h"
#include "network/firewall_policy.h"
#include "network/tunnels.h"

namespace lxmgr::network {
namespace {

std::unexpected<Error> bad_port(std::size_t index, const std::string& why) {
    return fail(Status::bad_request, fmt::format("Port {} of the forward: {}", index + 1, why));
}

/// The target must be behind the bridge, where nobody else's packets are led astray.
Result<AnyAddress> target_of(const std::string& text, bool ipv6, const BridgeConfig& bridge) {
    const auto address = parse_address(text);
    const auto* v4 = address ? std::get_if<std::uint32_t>(&*address) : nullptr;
    const auto* v6 = address ? std::get_if<Ipv6>(&*address) : nullptr;
    const bool inside = ipv6 ? v6 != nullptr && bridge.ipv6.address && bridge.ipv6.address->contains(*v6) &&
                                   *v6 != bridge.ipv6.address->address
                             : v4 != nullptr && bridge.ipv4.address && bridge.ipv4.address->contains(*v4) &&
                                   *v4 != bridge.ipv4.address->address;
    if (inside) return *address;
    return fail(Status::bad_request,
                fmt::format("target address '{}' must be an {} address in the network's subnet", text,
                            ipv6 ? "IPv6" : "IPv4"));
}

std::uint32_t length(const PortRange& range) {
    return static_cast<std::uint32_t>(range.last - range.first) + 1;
}

/// In one list, whose ranges parse_ports() has joined.
bool names_a_port_twice(const std::string& text, const std::vector<PortRange>& joined) {
    std::uint32_t named = 0, there = 0;
    for (const auto& item : split(text, ',')) {
        for (const PortRange& range : parse_ports(item).value_or(std::vector<PortRange>{}))
            named += length(range);
    }
    for (const PortRange& range : joined) there += length(range);
    return named != there;
}

/// Pairs of ranges of the same length: listen and target lists have as many ports, or the target has one.
Result<> pair_ports(const std::vector<PortRange>& listen, const std::vector<PortRange>& target,
                    ForwardPorts& out) {
    if (target.empty()) {
        for (const PortRange& range : listen) out.ports.emplace_back(range, range);
        return {};
    }
    if (target.size() == 1 && length(target[0]) == 1) {
        for (const PortRange& range : listen) out.ports.emplace_back(range, target[0]);
        return {};
    }
    std::uint32_t wanted = 0;
    std::uint32_t given = 0;
    for (const PortRange& range : listen) wanted += length(range);
    for (const PortRange& range : target) given += length(range);
    if (wanted != given)
        return fail(Status::bad_request, "target_port must have one port, or as many as listen_port");
    std::size_t at = 0;
    PortRange left = target[0];
    for (PortRange range : listen) {
        while (true) {
            const std::uint32_t both = std::min(length(range), length(left));
            const auto end = [both](const PortRange& r) {
                return PortRange{r.first, static_cast<std::uint16_t>(r.first + both - 1)};
            };
            out.ports.emplace_back(end(range), end(left));
            const bool range_done = both == length(range);
            const bool target_done = both == length(left);
            if (!range_done) range.first = static_cast<std::uint16_t>(range.first + both);
            if (!target_done) left.first = static_cast<std::uint16_t>(left.first + both);
            if (target_done && ++at < target.size()) left = target[at];
            if (range_done) break;
        }
    }
    return {};
}

Result<ForwardPorts> parse_port(const api::NetworkForwardPort& port, bool ipv6, const BridgeConfig& bridge) {
    ForwardPorts out;
    if (port.protocol != "tcp" && port.protocol != "udp")
        return fail(Status::bad_request, fmt::format("protocol '{}' must be tcp or udp", port.protocol));
    out.udp = port.protocol == "udp";
    const auto listen = parse_ports(port.listen_port);
    if (!listen) {
        return fail(
            Status::bad_request,
            fmt::format("listen_port '{}' must be ports and ranges such as 80,8000-8080", port.listen_port));
    }
    if (names_a_port_twice(port.listen_port, *listen))
        return fail(Status::bad_request,
                    fmt::format("listen_port '{}' names a port twice", port.listen_port));
    const auto target = parse_ports(port.target_port);
    if (!target && !port.target_port.empty()) {
        return fail(
            Status::bad_request,
            fmt::format("target_port '{}' must be ports and ranges such as 80,8000-8080", port.target_port));
    }
    LX_TRY(pair_ports(*listen, target.value_or(std::vector<PortRange>{}), out));
    LX_TRY_AS(const AnyAddress address, target_of(port.target_address, ipv6, bridge));
    if (const auto* v4 = std::get_if<std::uint32_t>(&address)) out.target_ipv4 = *v4;
    if (const auto* v6 = std::get_if<Ipv6>(&address)) out.target_ipv6 = *v6;
    return out;
}

Result<> check_distinct(const Forward& forward) {
    std::vector<std::pair<bool, PortRange>> seen;
    for (const ForwardPorts& ports : forward.ports) {
        for (const auto& [listen, target] : ports.ports) {
            for (const auto& [udp, other] : seen) {
                if (udp != ports.udp || listen.last < other.first || other.last < listen.first) continue;
                return fail(Status::bad_request,
                            fmt::format("listen_port: {} port {} is given twice", udp ? "udp" : "tcp",
                                        std::max(listen.first, other.first)));
            }
        }
        for (const auto& [listen, target] : ports.ports) seen.emplace_back(ports.udp, listen);
    }
    return {};
}

Result<> set_listen(Forward& to, const std::string& text) {
    const auto address = parse_address(text);
    if (!address)
        return fail(Status::bad_request, fmt::format("listen_address '{}' must be an IP address", text));
    to.ipv6 = std::holds_alternative<Ipv6>(*address);
    if (to.ipv6) to.listen_ipv6 = std::get<Ipv6>(*address);
    if (!to.ipv6) to.listen_ipv4 = std::get<std::uint32_t>(*address);
    Ipv6 loopback{};
    loopback[15] = 1;
    const bool bad = to.ipv6
                         ? to.listen_ipv6 == Ipv6{} || to.listen_ipv6 == loopback || to.listen_ipv6[0] == 0xff
                         : to.listen_ipv4 == 0 || to.listen_ipv4 >> 24 == 127 || to.listen_ipv4 >> 28 >= 0xe;
    if (!bad) return {};
    return fail(Status::bad_request,
                fmt::format("listen_address '{}' must be a unicast address that others can reach", text));
}

}  // namespace

Result<Forward> parse_forward(const api::NetworkForward& forward, const BridgeConfig& bridge) {
    Forward out;
    LX_TRY(set_listen(out, forward.listen_address));
    for (const auto& [key, value] : forward.config) {
        if (key.starts_with("user.") && key.size() > 5) continue;
        if (key != "target_address")
            return fail(Status::bad_request, fmt::format("Network forward config key '{}' is unknown", key));
        LX_TRY_AS(const AnyAddress target, target_of(value, out.ipv6, bridge));
        if (const auto* v4 = std::get_if<std::uint32_t>(&target)) out.target_ipv4 = *v4;
        if (const auto* v6 = std::get_if<Ipv6>(&target)) out.target_ipv6 = *v6;
    }
    for (std::size_t i = 0; i < forward.ports.size(); ++i) {
        auto port = parse_port(forward.ports[i], out.ipv6, bridge);
        if (!port) return bad_port(i, port.error().message);
        out.ports.push_back(*std::move(port));
    }
    LX_TRY(check_distinct(out));
    return out;
}

}  // namespace lxmgr::network
