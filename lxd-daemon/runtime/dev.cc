#include "lxd-daemon/runtime/dev.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/sys/mount.h"

namespace lxmgr::runtime {
namespace {

struct Node {
    const char* name;
    unsigned major, minor;
};
// Linux Documentation/admin-guide/devices.txt.
constexpr Node kNodes[] = {{"null", 1, 3},    {"zero", 1, 5}, {"full", 1, 7},    {"random", 1, 8},
                           {"urandom", 1, 9}, {"tty", 5, 0},  {"fuse", 10, 229}, {"net/tun", 10, 200}};
constexpr const char* kDirectories[] = {"pts", "shm", "mqueue", "net"};
struct Link {
    const char* name;
    const char* target;
};
constexpr Link kLinks[] = {{"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"},
                           {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
                           {"core", "/proc/kcore"},       {"ptmx", "pts/ptmx"},
                           {"console", "pts/0"},          {"incus", "lxd"}};

/// Entries of one /dev that is being made. The mode counts as given: chmod follows, so that no umask matters.
class Maker {
public:
    Maker(int root, uid_t uid, gid_t gid) : root_(root), uid_(uid), gid_(gid) {}

    Result<> directory(const std::string& name) {
        if (::mkdirat(root_, name.c_str(), 0755) != 0 && errno != EEXIST)
            return fail_errno("Making", "/dev/" + name);
        return own(name);
    }
    Result<> node(const std::string& name, mode_t type, dev_t device) {
        if (::mknodat(root_, name.c_str(), type, device) != 0 && errno != EEXIST) {
            return fail_errno("mknod of", "/dev/" + name);
        }
        if (::fchmodat(root_, name.c_str(), 0666, 0) != 0) return fail_errno("chmod of", "/dev/" + name);
        return own(name);
    }
    Result<> link(const std::string& name, const char* target) {
        if (::symlinkat(target, root_, name.c_str()) != 0) return fail_errno("Making", "/dev/" + name);
        return own(name);
    }

private:
    Result<> own(const std::string& name) {
        if (::fchownat(root_, name.c_str(), uid_, gid_, AT_SYMLINK_NOFOLLOW) == 0) return {};
        return fail_errno("chown of", "/dev/" + name);
    }
    int root_;
    uid_t uid_;
    gid_t gid_;
};

Result<> add_host_node(Maker& maker, const std::string& path) {
    constexpr std::string_view kDev = "/dev/";
    struct stat info{};
    if (!path.starts_with(kDev) || path.contains("..")) {
        return fail(Status::bad_request, fmt::format("'{}' is no path below /dev", path));
    }
    if (::stat(path.c_str(), &info) != 0) return fail_errno("stat", path);
    if (!S_ISCHR(info.st_mode) && !S_ISBLK(info.st_mode)) {
        return fail(Status::bad_request, fmt::format("'{}' is no device", path));
    }
    const std::string name = path.substr(kDev.size());
    for (auto slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1)) {
        LX_TRY(maker.directory(name.substr(0, slash)));
    }
    return maker.node(name, info.st_mode & S_IFMT, info.st_rdev);
}

}  // namespace

std::vector<sys::DeviceNumber> standard_devices() {
    constexpr unsigned kFirstPty = 136;
    constexpr unsigned kLastPty = 143;
    std::vector<sys::DeviceNumber> devices{{false, 5, 1}, {false, 5, 2}};
    for (const Node& node : kNodes) devices.push_back({false, node.major, node.minor});
    for (unsigned pty = kFirstPty; pty <= kLastPty; ++pty) devices.push_back({false, pty, std::nullopt});
    return devices;
}

std::optional<sys::DeviceNumber> device_number(const struct stat& node) {
    if (!S_ISCHR(node.st_mode) && !S_ISBLK(node.st_mode)) return std::nullopt;
    return sys::DeviceNumber{S_ISBLK(node.st_mode), major(node.st_rdev), minor(node.st_rdev)};
}

Result<UniqueFd> make_dev(const sys::IdMap& idmap, const std::vector<std::string>& extra_nodes) {
    const uid_t uid = idmap.host_uid(0);
    const gid_t gid = idmap.host_gid(0);
    LX_TRY_AS(auto tmpfs, sys::FsContext::open("tmpfs"));
    LX_TRY(tmpfs.set("source", "none"));
    LX_TRY(tmpfs.set("mode", "0755"));
    LX_TRY(tmpfs.set("size", "500k"));
    LX_TRY(tmpfs.set("uid", std::to_string(uid)));
    LX_TRY(tmpfs.set("gid", std::to_string(gid)));
    LX_TRY(tmpfs.create());
    LX_TRY_AS(UniqueFd root, tmpfs.mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
    Maker maker(root.get(), uid, gid);
    for (const char* name : kDirectories) LX_TRY(maker.directory(name));
    for (const Node& node : kNodes) LX_TRY(maker.node(node.name, S_IFCHR, makedev(node.major, node.minor)));
    for (const Link& link : kLinks) LX_TRY(maker.link(link.name, link.target));
    for (const std::string& path : extra_nodes) LX_TRY(add_host_node(maker, path));
    return root;
}

}  // namespace lxmgr::runtime
