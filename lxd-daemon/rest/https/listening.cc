#include "lxd-daemon/rest/https/listening.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

namespace lxmgr::rest {
namespace {

constexpr int kTcpBacklog = 1024;

struct Binding {
    sockaddr_storage address{};
    socklen_t size = 0;
};

Binding binding_of(const profiles::ListenAddress& wanted) {
    Binding out;
    if (wanted.host.contains(':')) {
        sockaddr_in6 address{};
        address.sin6_family = AF_INET6;
        address.sin6_port = htons(wanted.port);
        ::inet_pton(AF_INET6, wanted.host.c_str(), &address.sin6_addr);
        std::memcpy(&out.address, &address, sizeof address);
        out.size = sizeof address;
    } else {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(wanted.port);
        ::inet_pton(AF_INET, wanted.host.c_str(), &address.sin_addr);
        std::memcpy(&out.address, &address, sizeof address);
        out.size = sizeof address;
    }
    return out;
}

bool set_option(int fd, int level, int option, int value) {
    return ::setsockopt(fd, level, option, &value, sizeof value) == 0;
}

std::unexpected<Error> cannot_listen(const profiles::ListenAddress& address, int error) {
    return std::unexpected(
        Error{Status::bad_request,
              fmt::format("Cannot listen on {}: {}", profiles::host_and_port(address.host, address.port),
                          std::strerror(error)),
              error});
}

/// The text of an interface's address that others can use; empty otherwise.
std::string usable(const ifaddrs& entry, bool ipv6_too) {
    if (entry.ifa_addr == nullptr || (entry.ifa_flags & IFF_LOOPBACK) != 0 || (entry.ifa_flags & IFF_UP) == 0)
        return "";
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (entry.ifa_addr->sa_family == AF_INET) {
        sockaddr_in address{};
        std::memcpy(&address, entry.ifa_addr, sizeof address);
        if ((ntohl(address.sin_addr.s_addr) >> 16U) == 0xa9feU) return "";  // 169.254.0.0/16
        ::inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size());
    } else if (entry.ifa_addr->sa_family == AF_INET6 && ipv6_too) {
        sockaddr_in6 address{};
        std::memcpy(&address, entry.ifa_addr, sizeof address);
        if (IN6_IS_ADDR_LINKLOCAL(&address.sin6_addr)) return "";
        ::inet_ntop(AF_INET6, &address.sin6_addr, text.data(), text.size());
    }
    return text.data();
}

}  // namespace

Result<UniqueFd> listen_tcp(const profiles::ListenAddress& address, bool freebind) {
    const bool ipv6 = address.host.contains(':');
    UniqueFd fd(::socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd && errno == EAFNOSUPPORT && address.host == "::")
        return listen_tcp({"0.0.0.0", address.port}, freebind);  // a kernel without IPv6
    if (!fd) return cannot_listen(address, errno);
    set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    if (ipv6) set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, address.host == "::" ? 0 : 1);
    if (freebind) set_option(fd.get(), IPPROTO_IP, IP_FREEBIND, 1);
    const Binding binding = binding_of(address);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&binding.address), binding.size) != 0 ||
        ::listen(fd.get(), kTcpBacklog) != 0) {
        return cannot_listen(address, errno);
    }
    return fd;
}

std::string counted_host(const std::string& host) {
    in6_addr address{};
    if (::inet_pton(AF_INET6, host.c_str(), &address) != 1 || IN6_IS_ADDR_LINKLOCAL(&address)) return host;
    std::memset(address.s6_addr + 8, 0, 8);
    char text[INET6_ADDRSTRLEN] = {};
    ::inet_ntop(AF_INET6, &address, text, sizeof text);
    return fmt::format("{}/64", text);
}

std::vector<std::string> reachable_addresses(const profiles::ListenAddress& address) {
    const bool all = address.host == "::";
    if (!all && address.host != "0.0.0.0") return {profiles::host_and_port(address.host, address.port)};
    std::vector<std::string> out;
    ifaddrs* first = nullptr;
    if (::getifaddrs(&first) != 0) return out;
    for (const ifaddrs* entry = first; entry != nullptr; entry = entry->ifa_next) {
        const std::string text = usable(*entry, all);
        if (!text.empty()) out.push_back(profiles::host_and_port(text, address.port));
    }
    ::freeifaddrs(first);
    return out;
}

}  // namespace lxmgr::rest
