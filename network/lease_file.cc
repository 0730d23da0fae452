#include "network/lease_file.h"

#include <algorithm>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::network {
namespace {

constexpr std::size_t kMacBytes = 6;

/// "01:aa:bb" as bytes; nullopt when it is not that.
std::optional<std::string> parse_bytes(std::string_view text) {
    std::string out;
    for (const auto& part : split(text, ':')) {
        if (part.size() != 2) return std::nullopt;
        unsigned value = 0;
        for (const char c : to_lower(part)) {
            const auto digit = std::string_view("0123456789abcdef").find(c);
            if (digit == std::string_view::npos) return std::nullopt;
            value = value * 16 + static_cast<unsigned>(digit);
        }
        out += static_cast<char>(value);
    }
    return out;
}

/// dnsmasq writes another hardware type than Ethernet in front: "06-aa:bb:...".
std::optional<Mac> parse_hwaddr(std::string_view text) {
    if (text.size() > 3 && text[2] == '-') text.remove_prefix(3);
    return parse_mac(text);
}

/// DUID-LLT (type 1) and DUID-LL (3) on Ethernet (1) end with the MAC.
std::optional<Mac> mac_of_duid(std::string_view duid) {
    const bool llt = duid.size() == 14 && duid.starts_with(std::string_view("\0\1\0\1", 4));
    const bool ll = duid.size() == 10 && duid.starts_with(std::string_view("\0\3\0\1", 4));
    if (!llt && !ll) return std::nullopt;
    Mac mac{};
    std::ranges::transform(duid.substr(duid.size() - kMacBytes), mac.begin(),
                           [](char c) { return static_cast<std::uint8_t>(c); });
    return mac;
}

/// A host name is shown to clients of ours: only what may be one passes.
std::string clean_name(std::string_view name) {
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '_' || c == '.';
    };
    if (name == "*" || name.size() > 253 || !std::ranges::all_of(name, allowed)) return {};
    return std::string(name);
}

std::optional<FileLease> parse_line(std::string_view line, std::int64_t now_s) {
    const auto fields = split(line, ' ');
    if (fields.size() < 4) return std::nullopt;
    const auto expires = parse_int(fields[0]);
    if (!expires || *expires < 0 || (*expires != 0 && *expires <= now_s)) return std::nullopt;
    FileLease lease;
    lease.expires_s = *expires;
    lease.hostname = clean_name(fields[3]);
    const auto id = fields.size() > 4 ? parse_bytes(fields[4]) : std::nullopt;
    lease.client_id = id.value_or("");
    if (const auto v4 = parse_ipv4(fields[2])) {
        lease.address = *v4;
        lease.hwaddr = parse_hwaddr(fields[1]);
        if (!lease.hwaddr) return std::nullopt;
        return lease;
    }
    const auto v6 = parse_ipv6(fields[2]);
    if (!v6) return std::nullopt;
    lease.address = *v6;
    lease.hwaddr = mac_of_duid(lease.client_id);
    return lease;
}

}  // namespace

std::string FileLease::address_text() const {
    if (const auto* v4 = std::get_if<std::uint32_t>(&address)) return format_ipv4(*v4);
    return format_ipv6(std::get<Ipv6>(address));
}

std::vector<FileLease> parse_leases(std::string_view text, std::int64_t now_s) {
    std::vector<FileLease> out;
    while (!text.empty()) {
        const auto end = text.find('\n');
        // A line without its end is one that dnsmasq is writing at this moment.
        if (end == std::string_view::npos) break;
        if (auto lease = parse_line(text.substr(0, end), now_s)) out.push_back(*std::move(lease));
        text.remove_prefix(end + 1);
    }
    return out;
}

}  // namespace lxmgr::network
