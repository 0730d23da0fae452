#include "network/ip.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::network {
namespace {

struct Split {
    std::string address;
    int prefix;
};

std::optional<Split> split_net(std::string_view text, int longest) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    const std::string_view length = text.substr(slash + 1);
    const auto prefix = parse_uint(length);
    if (!prefix || *prefix > static_cast<std::uint64_t>(longest) || length.size() > 3) return std::nullopt;
    return Split{std::string(text.substr(0, slash)), static_cast<int>(*prefix)};
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

}  // namespace

std::optional<std::uint32_t> parse_ipv4(std::string_view text) {
    in_addr address{};
    if (text.contains('\0') || ::inet_pton(AF_INET, std::string(text).c_str(), &address) != 1)
        return std::nullopt;
    return ntohl(address.s_addr);
}

std::string format_ipv4(std::uint32_t address) {
    return fmt::format("{}.{}.{}.{}", address >> 24, (address >> 16) & 0xff, (address >> 8) & 0xff,
                       address & 0xff);
}

std::optional<Ipv6> parse_ipv6(std::string_view text) {
    Ipv6 address{};
    if (text.contains('\0') || ::inet_pton(AF_INET6, std::string(text).c_str(), address.data()) != 1) {
        return std::nullopt;
    }
    return address;
}

std::string format_ipv6(const Ipv6& address) {
    char text[INET6_ADDRSTRLEN] = {};
    ::inet_ntop(AF_INET6, address.data(), text, sizeof text);
    return text;
}

std::optional<Mac> parse_mac(std::string_view text) {
    if (text.size() != 17) return std::nullopt;
    Mac mac{};
    for (std::size_t i = 0; i < mac.size(); ++i) {
        const int high = hex_digit(text[3 * i]);
        const int low = hex_digit(text[3 * i + 1]);
        if (high < 0 || low < 0 || (i < 5 && text[3 * i + 2] != ':')) return std::nullopt;
        mac[i] = static_cast<std::uint8_t>(high * 16 + low);
    }
    return mac;
}

Result<Mac> require_mac(const std::string& text) {
    const auto mac = parse_mac(text);
    if (!mac) return fail(Status::bad_request, fmt::format("'{}' is not a MAC address", text));
    return *mac;
}

std::string format_mac(const Mac& mac) {
    return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3], mac[4],
                       mac[5]);
}

bool Ipv4Net::overlaps(const Ipv4Net& other) const {
    return prefix <= other.prefix ? contains(other.address) : other.contains(address);
}

Ipv6 Ipv6Net::network() const {
    Ipv6 out = address;
    for (std::size_t bit = static_cast<std::size_t>(prefix); bit < 128; ++bit) {
        out[bit / 8] = static_cast<std::uint8_t>(out[bit / 8] & ~(0x80u >> (bit % 8)));
    }
    return out;
}

bool Ipv6Net::contains(const Ipv6& other) const { return Ipv6Net{other, prefix}.network() == network(); }

bool Ipv6Net::overlaps(const Ipv6Net& other) const {
    return prefix <= other.prefix ? contains(other.address) : other.contains(address);
}

std::optional<Ipv4Net> parse_ipv4_net(std::string_view text) {
    const auto parts = split_net(text, 32);
    if (!parts) return std::nullopt;
    const auto address = parse_ipv4(parts->address);
    if (!address) return std::nullopt;
    return Ipv4Net{*address, parts->prefix};
}

std::optional<Ipv6Net> parse_ipv6_net(std::string_view text) {
    const auto parts = split_net(text, 128);
    if (!parts) return std::nullopt;
    const auto address = parse_ipv6(parts->address);
    if (!address) return std::nullopt;
    return Ipv6Net{*address, parts->prefix};
}

std::string format(const Ipv4Net& net) { return fmt::format("{}/{}", format_ipv4(net.address), net.prefix); }
std::string format(const Ipv6Net& net) { return fmt::format("{}/{}", format_ipv6(net.address), net.prefix); }

Ipv6 eui64(const Ipv6Net& net, const Mac& mac) {
    Ipv6 out = net.network();
    const std::uint8_t id[8] = {
        static_cast<std::uint8_t>(mac[0] ^ 2), mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};
    std::copy(std::begin(id), std::end(id), out.begin() + 8);
    return out;
}

}  // namespace lxmgr::network
