#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/runtime/dev.h"
#include "lxd-daemon/runtime/impl.h"
#include "lxd-daemon/runtime/run_notes.h"
#include "lxd-daemon/sys/credentials.h"
#include "lxd-daemon/sys/enter.h"
#include "lxd-daemon/sys/mount.h"
#include "lxd-daemon/sys/path.h"

/// Mounts that come and go while the container runs. All paths are the guest's: resolved beneath its root.
namespace lxmgr::runtime {
namespace {

struct Parts {
    std::string directory, name;
};

Parts split_path(const std::string& path) {
    std::string whole = path;
    while (whole.size() > 1 && whole.back() == '/') whole.pop_back();
    const auto at = whole.rfind('/');
    if (at == std::string::npos) return {"/", whole};
    return {at == 0 ? "/" : whole.substr(0, at), whole.substr(at + 1)};
}

/// The mount point, made where it is missing, as the container's root would make it.
Result<UniqueFd> make_hotplug_target(int root, const std::string& path, bool is_directory) {
    auto target = sys::open_in_root(root, path, O_PATH | (is_directory ? O_DIRECTORY : 0));
    if (target || target.error().sys_errno != ENOENT) return target;
    if (is_directory) return sys::make_directories_in_root(root, path, 0755);
    const Parts parts = split_path(path);
    LX_TRY_AS(const UniqueFd parent, sys::make_directories_in_root(root, parts.directory, 0755));
    constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const UniqueFd made(::openat(parent.get(), parts.name.c_str(), kFlags, 0644));
    if (!made && errno != EEXIST) return fail_errno("Making", path);
    return sys::open_in_root(root, path, O_PATH);
}

/// An empty file that was made to be a mount point. A guest that put something else there keeps it.
void remove_empty_file(int root, const std::string& path) {
    const Parts parts = split_path(path);
    const auto parent = sys::open_in_root(root, parts.directory, O_PATH | O_DIRECTORY);
    struct stat st{};
    if (!parent || ::fstatat(parent->get(), parts.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return;
    if (S_ISREG(st.st_mode) && st.st_size == 0) ::unlinkat(parent->get(), parts.name.c_str(), 0);
}

/// umount2(2) knows no descriptors, and "/proc" of the guest is the guest's: the host's own is brought along.
Result<> unmount(int own_fds, const UniqueFd& target, const std::string& path) {
    if (::fchdir(own_fds) != 0) return fail_errno("fchdir", "/proc/thread-self/fd");
    const bool gone = ::umount2(std::to_string(target.get()).c_str(), MNT_DETACH) == 0;
    // EINVAL: no mount point any more, the guest took it away itself.
    if (gone || errno == EINVAL) return {};
    return fail_errno("Unmounting", path);
}

}  // namespace

Result<> Impl::in_container(const std::string& name,
                            const std::function<Result<>(int root, int own_fds)>& work) {
    LX_TRY_AS(const LivePtr live, find(name));
    LX_TRY_AS(const UniqueFd mntns, open_of_init(name, "ns/mnt", O_RDONLY));
    LX_TRY_AS(const UniqueFd root, open_root(name));
    const UniqueFd proc(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
    return sys::in_mount_namespace(mntns.get(), [&]() -> Result<> {
        const UniqueFd own(::openat(proc.get(), "thread-self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!own) return fail_errno("Opening", "/proc/thread-self/fd");
        LX_TRY_AS(const auto ids, sys::ScopedFsIds::become(live->idmap.host_uid(0), live->idmap.host_gid(0)));
        return work(root.get(), own.get());
    });
}

/// Of a privileged container, whose root could make the node itself: lets it open the device, or no more.
Result<> Impl::filter_device(const std::string& name, const sys::DeviceNumber& device, bool allow) {
    LX_TRY_AS(const LivePtr live, find(name));
    if (!live->idmap.is_host()) return {};
    LX_TRY_AS(const UniqueFd group, cgroups_.open_group(name));
    auto done = allow ? sys::allow_device(group.get(), device) : sys::disallow_device(group.get(), device);
    if (done || done.error().status != Status::not_implemented) return done;
    // A run that an earlier version began.
    if (!allow) return {};
    return fail(
        Status::bad_request,
        fmt::format("'{}' is privileged and gets device nodes when it starts: restart it first", name));
}

/// Noted before it is allowed: nothing is allowed that no note would take back.
Result<> Impl::give_node(const std::string& name, const std::string& path, const sys::DeviceNumber& device) {
    LX_TRY_AS(const LivePtr live, find(name));
    if (!live->idmap.is_host()) return {};
    LX_TRY(take_node_back(name, path, std::nullopt));
    auto given = noted_nodes(live->run_dir_fd.get());
    if (!given) return filter_device(name, device, true);
    (*given)[path] = device;
    LX_TRY(note_nodes_given(live->run_dir_fd.get(), *given));
    auto allowed = filter_device(name, device, true);
    if (allowed) return {};
    given->erase(path);
    (void)note_nodes_given(live->run_dir_fd.get(), *given).has_value();
    return allowed;
}

Result<> Impl::take_node_back(const std::string& name, const std::string& path,
                              const std::optional<sys::DeviceNumber>& seen) {
    LX_TRY_AS(const LivePtr live, find(name));
    if (!live->idmap.is_host()) return {};
    auto given = noted_nodes(live->run_dir_fd.get());
    // Runs that an earlier version began have no notes of what they were given.
    if (!given) return seen ? filter_device(name, *seen, false) : Result<>{};
    const auto found = given->find(path);
    if (found == given->end()) return {};
    LX_TRY(filter_device(name, found->second, false));
    given->erase(found);
    return note_nodes_given(live->run_dir_fd.get(), *given);
}

Result<> Impl::attach(const std::string& name, const Attach& attach) {
    struct stat st{};
    const bool known = ::fstat(attach.mount_fd, &st) == 0;
    const auto device = known ? device_number(st) : std::nullopt;
    Revert undo;
    if (device) {
        LX_TRY(give_node(name, attach.target, *device));
        undo.add([&] { [[maybe_unused]] const auto closed = take_node_back(name, attach.target, device); });
    }
    auto attached = in_container(name, [&](int root, int) -> Result<> {
        LX_TRY_AS(const UniqueFd target, make_hotplug_target(root, attach.target, attach.is_directory));
        failpoint("runtime.attach.target");
        return sys::attach_at(attach.mount_fd, target.get());
    });
    if (attached) {
        undo.commit();
        return {};
    }
    return std::unexpected(
        in(fmt::format("Attaching '{}' in '{}'", attach.target, name), std::move(attached).error()));
}

Result<> Impl::detach(const std::string& name, const std::string& target, bool remove_file) {
    std::optional<sys::DeviceNumber> device;
    auto detached = in_container(name, [&](int root, int own_fds) -> Result<> {
        auto mounted = sys::open_in_root(root, target, O_PATH);
        if (!mounted && mounted.error().status == Status::not_found) return {};
        if (!mounted) return std::unexpected(std::move(mounted).error());
        struct stat st{};
        if (::fstat(mounted->get(), &st) == 0) device = device_number(st);
        LX_TRY(unmount(own_fds, *mounted, target));
        if (remove_file) remove_empty_file(root, target);
        return {};
    });
    if (detached) detached = take_node_back(name, target, device);
    if (detached) return {};
    return std::unexpected(
        in(fmt::format("Detaching '{}' from '{}'", target, name), std::move(detached).error()));
}

}  // namespace lxmgr::runtime
