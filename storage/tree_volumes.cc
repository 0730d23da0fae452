#include "storage/tree_volumes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/sys/mount.h"
#include "storage/carried_map.h"
#include "storage/tree/copy.h"
#include "storage/tree/list.h"
#include "storage/tree/usage.h"

namespace lxmgr::storage {
namespace {

constexpr const char* kRoot = "rootfs";

Result<UniqueFd> make_root(int volume_fd) {
    if (::mkdirat(volume_fd, kRoot, 0755) != 0) return fail_errno_at("mkdir", volume_fd, kRoot);
    LX_TRY_AS(UniqueFd root, open_tree_root(volume_fd, kRoot));
    if (::fchmod(root.get(), 0755) != 0)
        return fail_errno_at("chmod", volume_fd, kRoot);  // whatever the umask
    return root;
}

}  // namespace

Result<UniqueFd> open_tree_root(int dir_fd, const char* name) {
    UniqueFd root(::openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!root) return fail_errno_at("Opening", dir_fd, name);
    return root;
}

Result<std::optional<UniqueFd>> clone_idmapped(int dir_fd, const char* name, const sys::IdMap& map,
                                               sys::IdmapCache& idmaps, Abilities& abilities) {
    if (!abilities.idmapped_mounts) return std::nullopt;
    LX_TRY_AS(UniqueFd root, sys::clone_mount(dir_fd, name));
    LX_TRY_AS(const int user_namespace, idmaps.get(map));
    auto mapped = sys::set_idmap(root.get(), user_namespace);
    if (mapped) return root;
    const int code = mapped.error().sys_errno;
    if (code != EINVAL && code != ENOSYS && code != EOPNOTSUPP)
        return std::unexpected(std::move(mapped).error());
    abilities.idmapped_mounts = false;
    return std::nullopt;
}

Result<MountedVolume> finish_mount(UniqueFd root, const MountRequest& request) {
    if (request.read_only) LX_TRY(sys::change_attributes(root.get(), MOUNT_ATTR_RDONLY, 0));
    return MountedVolume{std::move(root)};
}

Result<> TreeVolumes::require_absent(const Volume& volume) const {
    struct stat st{};
    if (::fstatat(pool_.fd(volume.type), volume.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return {};
    return fail(Status::conflict,
                fmt::format("{} already exists in pool '{}'", describe(volume), pool_.pool_name()));
}

Result<Draft> TreeVolumes::make(const Filler& fill, bool durable) {
    LX_TRY_AS(Draft draft, pool_.begin());
    failpoint("storage.tree.make.begun");
    LX_TRY_AS(const UniqueFd root, make_root(draft.fd()));
    failpoint("storage.tree.make.root");
    if (fill) LX_TRY(fill(root.get()));
    failpoint("storage.tree.make.filled");
    if (durable && ::syncfs(root.get()) != 0) return fail_errno_at("syncfs", root.get(), "");
    return draft;
}

Result<> TreeVolumes::create(const Volume& volume, const Filler& fill) {
    LX_TRY(require_absent(volume));
    // An image is unpacked once and then believed for years: a power cut must not leave it with holes.
    LX_TRY_AS(Draft draft, make(fill, volume.type == VolumeType::image));
    LX_TRY(pool_.publish(draft, pool_.fd(volume.type), volume.name));
    failpoint("storage.tree.create.published");
    return {};
}

Result<> require_rewriting(const MountRequest& request) {
    if (!request.keep_ids) return {};
    return fail(
        Status::bad_request,
        "The owners of the volume's files would have to be rewritten, which security.protection.shift "
        "forbids");
}

Result<> TreeVolumes::rewrite_ids(const Volume& volume, int volume_fd, const sys::IdMap* from,
                                  const sys::IdMap* to) {
    LX_TRY_AS(const UniqueFd old_root, open_tree_root(volume_fd, kRoot));
    LX_TRY_AS(Draft draft, pool_.begin());
    if (to != nullptr) LX_TRY(set_carried_map(draft.fd(), *to));
    LX_TRY_AS(const UniqueFd root, make_root(draft.fd()));
    const IdShift shift(from, to);
    LX_TRY(copy_tree(old_root.get(), root.get(), &shift));
    failpoint("storage.tree.rewrite.copied");
    return pool_.replace(draft, pool_.fd(volume.type), volume.name);
}

Result<MountedVolume> TreeVolumes::mount(const Volume& volume, const MountRequest& request) {
    LX_TRY_AS(UniqueFd directory, pool_.open_volume(volume));
    LX_TRY_AS(const auto carried, carried_map(directory.get()));
    if (!as_on_disk(carried, request.idmap)) {
        // A tree may carry a map's ids since the host had an older kernel; they go back to 0-based now.
        if (carried && (abilities_.idmapped_mounts || request.idmap->is_host())) {
            LX_TRY(require_rewriting(request));
            LX_TRY(rewrite_ids(volume, directory.get(), &*carried, nullptr));
            return mount(volume, request);
        }
        LX_TRY_AS(auto mapped, clone_idmapped(directory.get(), kRoot, *request.idmap, idmaps_, abilities_));
        if (mapped) return finish_mount(std::move(*mapped), request);
        LX_TRY(require_rewriting(request));
        LX_TRY(rewrite_ids(volume, directory.get(), carried ? &*carried : nullptr, request.idmap));
        LX_TRY_AS(directory, pool_.open_volume(volume));
    }
    LX_TRY_AS(UniqueFd root, sys::clone_mount(directory.get(), kRoot));
    return finish_mount(std::move(root), request);
}

Result<std::uint64_t> TreeVolumes::usage_bytes(const Volume& volume) {
    LX_TRY_AS(const UniqueFd directory, pool_.open_volume(volume));
    LX_TRY_AS(const UniqueFd root, open_tree_root(directory.get(), kRoot));
    return tree_usage_bytes(root.get());
}

}  // namespace lxmgr::storage
