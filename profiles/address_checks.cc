#include <arpa/inet.h>

#include <string>

#include "lxd-daemon/base/strings.h"
#include "profiles/checks.h"
#include "profiles/must.h"
#include "profiles/web_checks.h"

namespace lxmgr::profiles::check {
namespace {

bool is_address(int family, std::string_view text) {
    unsigned char parsed[16];
    return ::inet_pton(family, std::string(text).c_str(), parsed) == 1;
}

/// Of an address that may have the length of its net behind it.
bool is_address_of_net(int family, std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) return is_address(family, text);
    const auto length = parse_uint(text.substr(slash + 1));
    return length && *length >= 1 && *length <= (family == AF_INET ? 32 : 128) &&
           is_address(family, text.substr(0, slash));
}

/// One with bits behind its length is an address in a net: which of the two is meant is not known.
bool is_net(int family, std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) return false;
    const auto length = parse_int(text.substr(slash + 1));
    const int most = family == AF_INET ? 32 : 128;
    unsigned char address[16] = {};
    if (!length || *length < 0 || *length > most ||
        ::inet_pton(family, std::string(text.substr(0, slash)).c_str(), address) != 1)
        return false;
    for (auto bit = static_cast<unsigned>(*length); bit < static_cast<unsigned>(most); ++bit) {
        if ((address[bit / 8] & (0x80U >> bit % 8)) != 0) return false;
    }
    return true;
}

Result<> each_of(std::string_view list, bool (*good)(std::string_view), std::string_view what) {
    for (const auto& one : split(list, ',')) {
        if (!good(trim(one))) return must(std::string(what));
    }
    return {};
}

}  // namespace

Result<> ipv4(std::string_view, std::string_view value) {
    if (is_address(AF_INET, value)) return {};
    return must("an IPv4 address");
}

Result<> ipv4_or_none(std::string_view, std::string_view value) {
    if (value == "none" || is_address(AF_INET, value)) return {};
    return must("an IPv4 address or none");
}
Result<> ipv6_or_none(std::string_view, std::string_view value) {
    if (value == "none" || is_address(AF_INET6, value)) return {};
    return must("an IPv6 address or none");
}

Result<> ipv4_list(std::string_view, std::string_view value) {
    return each_of(
        value, [](std::string_view one) { return is_address(AF_INET, one); },
        "IPv4 addresses, with commas between");
}
Result<> ipv6_list(std::string_view, std::string_view value) {
    return each_of(
        value, [](std::string_view one) { return is_address(AF_INET6, one); },
        "IPv6 addresses, with commas between");
}
Result<> ipv4_net_list(std::string_view, std::string_view value) {
    return each_of(
        value, [](std::string_view one) { return is_net(AF_INET, one); },
        "IPv4 nets such as 10.2.0.0/16, all bits behind the length zero, with commas between");
}
Result<> ipv6_net_list(std::string_view, std::string_view value) {
    return each_of(
        value, [](std::string_view one) { return is_net(AF_INET6, one); },
        "IPv6 nets such as fd12::/64, all bits behind the length zero, with commas between");
}
Result<> ipv6(std::string_view, std::string_view value) {
    if (is_address(AF_INET6, value)) return {};
    return must("an IPv6 address");
}
Result<> ip_addresses(std::string_view, std::string_view value) {
    return each_of(
        value, [](std::string_view one) { return is_address(AF_INET, one) || is_address(AF_INET6, one); },
        "IP addresses with commas between them");
}
Result<> ipv4_with_length_list(std::string_view, std::string_view value) {
    return each_of(
        value, [](std::string_view one) { return is_address_of_net(AF_INET, one); },
        "IPv4 addresses, with or without the length of their net as in 192.0.2.5/24, with commas between");
}
Result<> ipv6_with_length_list(std::string_view, std::string_view value) {
    return each_of(
        value, [](std::string_view one) { return is_address_of_net(AF_INET6, one); },
        "IPv6 addresses, with or without the length of their net as in fd12::5/64, with commas between");
}
Result<> ipv4_gateway(std::string_view key, std::string_view value) {
    if (is_address(AF_INET, value) || gateway(key, value)) return {};
    return must("auto, none or an IPv4 address");
}
Result<> ipv6_gateway(std::string_view key, std::string_view value) {
    if (is_address(AF_INET6, value) || gateway(key, value)) return {};
    return must("auto, none or an IPv6 address");
}
Result<> gateway(std::string_view, std::string_view value) {
    if (value == "auto" || value == "none") return {};
    return must("auto or none");
}

}  // namespace lxmgr::profiles::check
