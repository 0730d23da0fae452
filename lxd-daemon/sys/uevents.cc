#include "lxd-daemon/sys/uevents.h"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace lxmgr::sys {
namespace {

// The kernel's, and udev's: that one tells again when it has made its links.
constexpr unsigned kGroups = 1 | 2;
constexpr std::size_t kMessageBytes = 8192;

}  // namespace

Result<UniqueFd> open_uevents() {
    UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = kGroups;
    if (!fd || ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno("Watching", "the devices of the host");
    return fd;
}

std::optional<Uevent> next_uevent(int socket) {
    std::array<char, kMessageBytes> buffer;
    const ssize_t got = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (got < 0) return errno == ENOBUFS ? std::optional(Uevent{}) : std::nullopt;
    return parse_uevent({buffer.data(), static_cast<std::size_t>(got)});
}

std::optional<Uevent> parse_uevent(std::string_view message) {
    Uevent out;
    while (!message.empty()) {
        const auto end = message.find('\0');
        const std::string_view line = message.substr(0, end);
        message.remove_prefix(end == std::string_view::npos ? message.size() : end + 1);
        const auto value = [&](std::string_view name) {
            return line.starts_with(name) ? std::optional(line.substr(name.size())) : std::nullopt;
        };
        if (const auto action = value("ACTION=")) out.action = *action;
        if (const auto subsystem = value("SUBSYSTEM=")) out.subsystem = *subsystem;
        if (const auto node = value("DEVNAME=")) out.node = *node;
    }
    if (out.action.empty()) return std::nullopt;
    return out;
}

}  // namespace lxmgr::sys
