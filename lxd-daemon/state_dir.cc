#include "lxd-daemon/state_dir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <climits>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "lxd-daemon/base/files.h"

namespace lxmgr {
namespace {

constexpr const char* kDefaultRoot = "/var/lib/lxmgr";

struct Directory {
    const char* name;
    mode_t mode;
};
/// Searchable ones hold what instances' ids must pass through; nothing in STATE can be listed by others.
constexpr Directory kDirectories[] = {{"database", 0700},     {"images", 0700}, {"logs", 0700},
                                      {"networks", 0711},     {"run", 0711},    {"tmp", 0700},
                                      {"storage-pools", 0711}};

}  // namespace

Result<UniqueFd> prepare_state_dir(const std::string& root) {
    LX_TRY(make_directories(root, 0711));
    const std::string path = root + "/lock";
    UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock) return fail_errno("Opening", path);
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        return fail(Status::conflict,
                    fmt::format("Another lxmgrd is already running with the state directory {}", root));
    }
    // Uploads that the previous daemon did not finish.
    LX_TRY(remove_tree(root + "/tmp"));
    for (const auto& [name, mode] : kDirectories)
        LX_TRY(make_directory(fmt::format("{}/{}", root, name), mode));
    return lock;
}

std::string cgroup_name(const std::string& root) {
    if (root == kDefaultRoot) return "lxmgr";
    std::uint32_t hash = 2166136261U;  // FNV-1a: the same in every build
    for (const char c : root) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
    return fmt::format("lxmgr-{:08x}", hash);
}

Result<std::string> sibling_program(const std::string& name) {
    std::string self(PATH_MAX, '\0');
    const ssize_t n = ::readlink("/proc/self/exe", self.data(), self.size());
    if (n <= 0) return fail_errno("readlink", "/proc/self/exe");
    self.resize(static_cast<std::size_t>(n));
    std::string path = self.substr(0, self.rfind('/') + 1) + name;
    if (::access(path.c_str(), X_OK) == 0) return path;
    return fail(Status::not_found,
                fmt::format("Program {} is missing: it must be installed beside lxmgrd", path));
}

void notify_service_manager(const std::string& state) {
    const char* target = std::getenv("NOTIFY_SOCKET");
    if (target == nullptr || (target[0] != '/' && target[0] != '@')) return;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::size_t length = std::strlen(target);
    if (length >= sizeof address.sun_path) return;
    std::memcpy(address.sun_path, target, length);
    if (target[0] == '@') address.sun_path[0] = '\0';
    const UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd) return;
    const auto size =
        static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length + (target[0] == '@' ? 0 : 1));
    [[maybe_unused]] const ssize_t sent = ::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL,
                                                   reinterpret_cast<const sockaddr*>(&address), size);
}

}  // namespace lxmgr
