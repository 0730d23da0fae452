#include "lxd-daemon/devices/proxy_listen.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

#include "lxd-daemon/sys/credentials.h"
#include "lxd-daemon/sys/path.h"

namespace lxmgr::devices {
namespace {

using ListenKind = profiles::ProxyAddress::Kind;

constexpr int kBacklog = 4096;

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;
    [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress internet_address(const std::string& host, int port) {
    SocketAddress out;
    auto& v4 = reinterpret_cast<sockaddr_in&>(out.storage);
    auto& v6 = reinterpret_cast<sockaddr_in6&>(out.storage);
    if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
        v4.sin_family = AF_INET;
        v4.sin_port = htons(static_cast<std::uint16_t>(port));
        out.size = sizeof v4;
    } else if (::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(static_cast<std::uint16_t>(port));
        out.size = sizeof v6;
    }
    return out;
}

/// @param name  of at most 107 bytes
SocketAddress unix_address(const std::string& name, bool abstract) {
    SocketAddress out;
    auto& address = reinterpret_cast<sockaddr_un&>(out.storage);
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + (abstract ? 1 : 0), name.data(), name.size());
    out.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    return out;
}

bool is_any_ipv6(const SocketAddress& address) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
    return address.storage.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr);
}

/// @param families  of an IPv6 address: whether the socket is to take IPv4 too
Result<UniqueFd> bind_socket(const SocketAddress& address, int type, const std::string& shown,
                             Families families) {
    UniqueFd fd(::socket(address.storage.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return fail_errno("socket", "");
    const int on = 1;
    if (type == SOCK_STREAM) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // Set either way: what it is by itself is a sysctl's.
    const int alone = families == Families::own ? 1 : 0;
    if (address.storage.ss_family == AF_INET6)
        ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &alone, sizeof alone);
    if (::bind(fd.get(), address.get(), address.size) != 0) return fail_errno("Listening on", shown);
    if (type == SOCK_STREAM && ::listen(fd.get(), kBacklog) != 0) return fail_errno("Listening on", shown);
    return fd;
}

/// "[::]" is every address of the host, IPv4 ones too, as in LXD; but somebody else may serve those.
Result<UniqueFd> bind_internet(const SocketAddress& address, int type, const std::string& shown,
                               Families families) {
    if (families == Families::both && is_any_ipv6(address)) {
        auto both = bind_socket(address, type, shown, Families::both);
        if (both || both.error().sys_errno != EADDRINUSE) return both;
    }
    return bind_socket(address, type, shown, Families::own);
}

struct SocketFile {
    UniqueFd directory;
    std::string name;
    /// Through /proc, so that no part of the path is walked again.
    [[nodiscard]] std::string path() const {
        return fmt::format("/proc/self/fd/{}/{}", directory.get(), name);
    }
};

Result<SocketFile> find_file(int root_fd, const std::string& path) {
    const auto at = path.rfind('/');
    SocketFile file;
    LX_TRY_AS(file.directory,
              sys::open_in_root(root_fd, at == 0 ? "/" : path.substr(0, at), O_PATH | O_DIRECTORY));
    file.name = path.substr(at + 1);
    return file;
}

void remove_if_dead(const SocketFile& file) {
    struct stat st{};
    if (::fstatat(file.directory.get(), file.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return;
    if (!S_ISSOCK(st.st_mode) || file.path().size() > 107) return;
    const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const auto address = unix_address(file.path(), false);
    if (::connect(probe.get(), address.get(), address.size) != 0 && errno == ECONNREFUSED)
        ::unlinkat(file.directory.get(), file.name.c_str(), 0);
}

Result<UniqueFd> listen_path(const std::string& path, const ListenPlace& place) {
    LX_TRY_AS(const SocketFile file, find_file(place.root_fd, path));
    remove_if_dead(file);
    if (file.path().size() > 107)
        return fail(Status::bad_request, fmt::format("The name of the socket '{}' is too long", path));
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return fail_errno("socket", "");
    // The file gets the mode of the socket (unix_bind_bsd()) and the ids of who binds it, in one step.
    if (::fchmod(fd.get(), place.mode) != 0) return fail_errno("fchmod", path);
    LX_TRY_AS(const auto ids, sys::ScopedFsIds::become(place.host_uid, place.host_gid));
    const auto address = unix_address(file.path(), false);
    if (::bind(fd.get(), address.get(), address.size) != 0) return fail_errno("Listening on", path);
    if (::listen(fd.get(), kBacklog) != 0) return fail_errno("Listening on", path);
    return fd;
}

}  // namespace

Result<std::vector<UniqueFd>> listen_all(const profiles::ProxyAddress& address, const ListenPlace& place) {
    std::vector<UniqueFd> out;
    if (address.kind == ListenKind::unix_path) {
        LX_TRY_AS(UniqueFd fd, listen_path(address.address, place));
        out.push_back(std::move(fd));
    } else if (address.kind == ListenKind::unix_abstract) {
        LX_TRY_AS(UniqueFd fd, bind_socket(unix_address(address.address, true), SOCK_STREAM,
                                           "@" + address.address, Families::own));
        out.push_back(std::move(fd));
    }
    for (const int port : address.ports) {
        const int type = address.kind == ListenKind::udp ? SOCK_DGRAM : SOCK_STREAM;
        LX_TRY_AS(UniqueFd fd,
                  bind_internet(internet_address(address.address, port), type,
                                fmt::format("{} port {}", address.address, port), place.families));
        out.push_back(std::move(fd));
    }
    return out;
}

void remove_socket(int root_fd, const std::string& path) {
    if (const auto file = find_file(root_fd, path)) remove_if_dead(*file);
}

}  // namespace lxmgr::devices
