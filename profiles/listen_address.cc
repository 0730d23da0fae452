#include "profiles/listen_address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include "lxd-daemon/base/strings.h"
#include "profiles/checks.h"
#include "profiles/snapshot_keys.h"

namespace lxmgr::profiles {
namespace {

bool is_literal(int family, const std::string& text) {
    in6_addr parsed;
    return ::inet_pton(family, text.c_str(), &parsed) == 1;
}

std::unexpected<Error> not_an_address() {
    return fail(Status::bad_request,
                "must be an IP address with or without a port, such as 192.0.2.1:8443, [::]:8443 or :8443");
}

}  // namespace

Result<ListenAddress> parse_listen_address(std::string_view text) {
    ListenAddress out;
    std::string host(text);
    if (!is_literal(AF_INET6, host)) {  // a bare IPv6 address has colons of its own
        const auto colon = host.rfind(':');
        if (colon != std::string::npos && !host.ends_with(']')) {
            const auto port = parse_uint(host.substr(colon + 1));
            if (!port || *port < 1 || *port > 65535)
                return fail(Status::bad_request, "must have a port of 1 to 65535 behind its last colon");
            out.port = static_cast<std::uint16_t>(*port);
            host.resize(colon);
        }
        if (host.starts_with('[') && host.ends_with(']')) {
            host = host.substr(1, host.size() - 2);
            if (!is_literal(AF_INET6, host)) return not_an_address();
        } else if (host.contains(':')) {
            return not_an_address();
        }
    }
    if (host.empty() || host == "*") host = "::";
    if (!is_literal(AF_INET, host) && !is_literal(AF_INET6, host)) return not_an_address();
    out.host = host;
    return out;
}

std::string host_and_port(std::string_view host, std::uint16_t port) {
    return host.contains(':') ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

Result<Time> token_expiry_after(std::string_view text, Time from) {
    if (!text.ends_with('S')) return expiry_after(text, from);
    const auto seconds = parse_uint(text.substr(0, text.size() - 1));
    if (!seconds || *seconds < 1 || *seconds > 86400)
        return fail(Status::bad_request, "must have 1 to 86400 seconds before its S");
    return from + std::chrono::seconds(*seconds);
}

namespace check {

Result<> listen_address(std::string_view, std::string_view value) {
    const auto parsed = parse_listen_address(value);
    if (!parsed) return std::unexpected(parsed.error());
    return {};
}

Result<> token_expiry(std::string_view, std::string_view value) {
    const auto parsed = token_expiry_after(value, now());
    if (!parsed) return std::unexpected(parsed.error());
    return {};
}

}  // namespace check
}  // namespace lxmgr::profiles
