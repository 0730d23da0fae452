#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/base/strings.h"
#include "profiles/config_keys.h"

namespace lxmgr::profiles {
namespace {

/// Each port is a socket of its own; a forwarder has room for these and their connections.
constexpr std::size_t kMaxPorts = 512;
/// sun_path of unix(7) has 108 bytes with its end.
constexpr std::size_t kMaxSocketName = 107;

std::unexpected<Error> bad_address(std::string_view text, std::string_view why) {
    return fail(
        Status::bad_request,
        fmt::format("'{}': {}; allowed are tcp:ADDRESS:PORTS, udp:ADDRESS:PORTS, unix:PATH and unix:@NAME",
                    text, why));
}

bool is_ip(const std::string& text) {
    unsigned char bytes[sizeof(in6_addr)];
    return ::inet_pton(AF_INET, text.c_str(), bytes) == 1 || ::inet_pton(AF_INET6, text.c_str(), bytes) == 1;
}

std::optional<int> parse_port(std::string_view text) {
    const auto number = parse_uint(text);
    if (!number || *number == 0 || *number > 65535) return std::nullopt;
    return static_cast<int>(*number);
}

bool add_port_range(std::string_view text, std::vector<int>& ports) {
    const auto dash = text.find('-');
    const auto first = parse_port(text.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_port(text.substr(dash + 1));
    if (!first || !last || *last < *first) return false;
    if (ports.size() + static_cast<std::size_t>(*last - *first) >= kMaxPorts) return false;
    for (int port = *first; port <= *last; ++port) {
        if (std::ranges::find(ports, port) != ports.end()) return false;
        ports.push_back(port);
    }
    return true;
}

Result<ProxyAddress> parse_unix(std::string_view text, std::string_view rest) {
    ProxyAddress out;
    const bool abstract = rest.starts_with('@');
    out.kind = abstract ? ProxyAddress::Kind::unix_abstract : ProxyAddress::Kind::unix_path;
    out.address = rest.substr(abstract ? 1 : 0);
    if (out.address.empty() || out.address.size() > kMaxSocketName || has_control_chars(out.address))
        return bad_address(text, "the socket's name must have 1 to 107 bytes");
    if (abstract) return out;
    const auto parts = split(out.address, '/');
    const bool dots =
        std::ranges::any_of(parts, [](const auto& part) { return part == "." || part == ".."; });
    if (out.address.front() != '/' || dots || parts.back().empty())
        return bad_address(text, "the socket's path must be absolute, without '.' and '..'");
    return out;
}

}  // namespace

Result<ProxyAddress> parse_proxy_address(std::string_view text) {
    const auto colon = text.find(':');
    const std::string_view kind = text.substr(0, colon);
    const std::string_view rest = colon == std::string_view::npos ? "" : text.substr(colon + 1);
    if (kind == "unix") return parse_unix(text, rest);
    if (kind != "tcp" && kind != "udp") return bad_address(text, "unknown protocol");
    ProxyAddress out;
    out.kind = kind == "tcp" ? ProxyAddress::Kind::tcp : ProxyAddress::Kind::udp;
    const auto last = rest.rfind(':');
    if (last == std::string_view::npos) return bad_address(text, "the port is missing");
    std::string_view host = rest.substr(0, last);
    const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (brackets) host = host.substr(1, host.size() - 2);
    out.address = host;
    const bool ipv6 = out.address.contains(':');
    if (!is_ip(out.address) || ipv6 != brackets)
        return bad_address(text, "the address must be an IPv4 address, or an IPv6 address in brackets");
    for (const auto& range : split(rest.substr(last + 1), ',')) {
        if (!add_port_range(range, out.ports))
            return bad_address(text,
                               "ports must be numbers or ranges from 1 to 65535, 512 at most, each once");
    }
    return out;
}

}  // namespace lxmgr::profiles
