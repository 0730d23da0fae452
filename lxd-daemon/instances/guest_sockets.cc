#include "lxd-daemon/instances/guest_sockets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/sys/mount.h"

namespace lxmgr::instances {
namespace {

constexpr const char* kSocket = "sock";
/// Connections that wait to be accepted; more than these wait in the guest.
constexpr int kBacklog = 16;

std::string directory_in(const std::string& run_dir) { return run_dir + "/guest"; }

Result<UniqueFd> open_guest_directory(const std::string& run_dir) {
    const std::string path = directory_in(run_dir);
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return fail_errno("Opening", path);
    return fd;
}

Result<UniqueFd> bind_in(int directory) {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    // Every user inside may ask. The mode goes to the socket's file at bind(2): a later chmod by name could
    // meet something else in the directory of a privileged instance.
    if (!fd || ::fchmod(fd.get(), 0666) != 0) return fail_errno("socket", "of the guest API");
    // Through /proc: the path of a run directory may be longer than the 108 bytes of an address.
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = fmt::format("/proc/self/fd/{}/{}", directory, kSocket);
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    ::unlinkat(directory, kSocket, 0);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno("Binding", "the socket of the guest API");
    if (::listen(fd.get(), kBacklog) != 0) return fail_errno("listen", "of the guest API");
    return fd;
}

}  // namespace

void GuestSockets::serve(GuestServer server) {
    const std::lock_guard lock(mutex_);
    server_ = std::move(server);
    if (!server_.listen) return;
    for (auto& [name, socket] : waiting_) server_.listen(name, std::move(socket));
    waiting_.clear();
}

Result<> GuestSockets::open(const std::string& name, const std::string& run_dir) {
    // Of the host's root, whom no user namespace maps: only a privileged guest could change what is in it.
    LX_TRY(lxmgr::make_directory(directory_in(run_dir), 0755));
    LX_TRY_AS(const UniqueFd directory, open_guest_directory(run_dir));
    LX_TRY_AS(UniqueFd socket, bind_in(directory.get()));
    const std::lock_guard lock(mutex_);
    if (server_.listen) {
        server_.listen(name, std::move(socket));
    } else {
        waiting_[name] = std::move(socket);
    }
    return {};
}

void GuestSockets::close(const std::string& name, const std::string& run_dir) {
    const auto directory = open_guest_directory(run_dir);
    if (directory) ::unlinkat(directory->get(), kSocket, 0);
    const std::lock_guard lock(mutex_);
    waiting_.erase(name);
    if (server_.close) server_.close(name);
}

Result<UniqueFd> GuestSockets::mount(const std::string& run_dir) {
    LX_TRY_AS(const UniqueFd directory, open_guest_directory(run_dir));
    LX_TRY_AS(UniqueFd mount, sys::clone_mount(directory.get(), ""));
    LX_TRY(sys::change_attributes(
        mount.get(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0));
    return mount;
}

}  // namespace lxmgr::instances
