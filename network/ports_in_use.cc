#include "network/ports_in_use.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "network/ip.h"

namespace lxmgr::network {
namespace {

/// proc(5): of TCP sockets those that listen, of UDP those that are not connected.
constexpr std::string_view kListening = "0A";
constexpr std::string_view kUnconnected = "07";

/// Words of 32 bits as the machine holds them, in hex: "0100007F". Empty: every address.
std::string address_in_table(std::string_view hex) {
    Ipv6 bytes{};
    const std::size_t size = std::min(hex.size() / 2, bytes.size());
    for (std::size_t at = 0; at + 4 <= size; at += 4) {
        const auto word =
            static_cast<std::uint32_t>(std::strtoul(std::string(hex.substr(at * 2, 8)).c_str(), nullptr, 16));
        std::memcpy(bytes.data() + at, &word, sizeof word);
    }
    if (bytes == Ipv6{}) return "";
    const auto ipv4_at = [&bytes](std::size_t at) {
        std::uint32_t word = 0;
        std::memcpy(&word, bytes.data() + at, sizeof word);
        return format_ipv4(ntohl(word));
    };
    if (size == 4) return ipv4_at(0);
    constexpr Ipv6 kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return std::equal(kMapped.begin(), kMapped.begin() + 12, bytes.begin()) ? ipv4_at(12)
                                                                            : format_ipv6(bytes);
}

void read_table(const std::string& table, std::string_view state, std::vector<HostListener>& out) {
    const auto text = read_file("/proc/thread-self/net/" + table);
    if (!text) return;
    for (const auto& line : split(*text, '\n')) {
        // "  0: 0100007F:0035 00000000:0000 0A ..."
        std::vector<std::string> fields;
        for (auto& field : split(trim(line), ' ')) {
            if (!field.empty()) fields.push_back(std::move(field));
        }
        if (fields.size() < 4 || fields[3] != state) continue;
        const auto colon = fields[1].find(':');
        if (colon == std::string::npos) continue;
        const int port = static_cast<int>(std::strtol(fields[1].c_str() + colon + 1, nullptr, 16));
        out.push_back({address_in_table(std::string_view(fields[1]).substr(0, colon)), port, colon > 8});
    }
}

}  // namespace

std::vector<HostListener> host_listeners(bool udp) {
    std::vector<HostListener> out;
    for (const char* family : {"", "6"}) {
        read_table(fmt::format("{}{}", udp ? "udp" : "tcp", family), udp ? kUnconnected : kListening, out);
    }
    return out;
}

bool is_address_of_host(const std::string& address) {
    if (address.starts_with("127.")) return true;
    ifaddrs* first = nullptr;
    if (::getifaddrs(&first) != 0) return true;  // not known: what is in the way counts
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(first, ::freeifaddrs);
    for (const ifaddrs* one = first; one != nullptr; one = one->ifa_next) {
        const int family = one->ifa_addr == nullptr ? AF_UNSPEC : one->ifa_addr->sa_family;
        char text[INET6_ADDRSTRLEN] = {};
        if (family == AF_INET) {
            ::inet_ntop(family, &reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr, text,
                        sizeof text);
        } else if (family == AF_INET6) {
            ::inet_ntop(family, &reinterpret_cast<const sockaddr_in6*>(one->ifa_addr)->sin6_addr, text,
                        sizeof text);
        }
        if (address == text) return true;
    }
    return false;
}

}  // namespace lxmgr::network
