#include "lxmgr/port_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::cli {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::optional<int> parse_port(std::string_view text) {
    const auto number = parse_uint(text);
    if (!number || *number < 1 || *number > 65535 || text.size() > 5) return std::nullopt;
    return static_cast<int>(*number);
}

/// How many ports "80" or "80-90" are; nullopt: it is neither.
std::optional<int> count_ports(std::string_view text) {
    const auto dash = text.find('-');
    const auto first = parse_port(text.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_port(text.substr(dash + 1));
    if (!first || !last || *last < *first) return std::nullopt;
    return *last - *first + 1;
}

/// The address in front, without its colon; empty: none.
Result<std::string> take_address(std::string_view& text) {
    if (text.starts_with('[')) {
        const auto end = text.find("]:");
        if (end == std::string_view::npos)
            return fail(Status::bad_request, fmt::format("'{}' has no port behind its address", text));
        const std::string address(text.substr(1, end - 1));
        text.remove_prefix(end + 2);
        return address;
    }
    const auto colon = text.find(':');
    if (colon == std::string_view::npos || !text.substr(0, colon).contains('.')) return std::string();
    const std::string address(text.substr(0, colon));
    text.remove_prefix(colon + 1);
    return address;
}

}  // namespace

bool looks_like_ports(std::string_view text) {
    if (text.empty()) return false;
    if (text.front() == '[') return true;
    const std::string_view head = text.substr(0, text.find_first_of(":/"));
    return std::ranges::all_of(head, [](char c) { return is_digit(c) || c == '-' || c == '.'; });
}

Result<PortSpec> parse_port_spec(std::string_view text) {
    PortSpec out{"tcp", "", "", ""};
    std::string_view rest = text;
    if (const auto slash = rest.find('/'); slash != std::string_view::npos) {
        out.protocol = rest.substr(slash + 1);
        rest = rest.substr(0, slash);
        if (out.protocol != "tcp" && out.protocol != "udp")
            return fail(Status::bad_request, fmt::format("'{}': the protocol must be tcp or udp", text));
    }
    LX_TRY_AS(const std::string address, take_address(rest));
    const auto parts = split(rest, ':');
    const std::string& listen = parts[0];
    const std::string& target = parts.size() > 1 ? parts[1] : parts[0];
    const auto listened = count_ports(listen);
    const auto targets = count_ports(target);
    if (parts.size() > 2 || !listened || !targets) {
        return fail(Status::bad_request,
                    fmt::format("'{}' must be [ADDRESS:]PORT[:PORT][/PROTOCOL], such as 8080:80", text));
    }
    if (*targets != 1 && *targets != *listened)
        return fail(Status::bad_request, fmt::format("'{}' has ranges of different lengths", text));
    const bool ipv4 = !address.empty() && !address.contains(':');
    const std::string_view any = ipv4 ? "0.0.0.0" : "[::]";
    std::string on = std::string(any);
    if (!address.empty()) on = ipv4 ? address : fmt::format("[{}]", address);
    out.listen = fmt::format("{}:{}:{}", out.protocol, on, listen);
    out.target = fmt::format("{}:{}:{}", out.protocol, any, target);
    out.name = fmt::format("port-{}{}", listen, out.protocol == "udp" ? "-udp" : "");
    return out;
}

}  // namespace lxmgr::cli
