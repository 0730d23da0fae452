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

/// The tree's root, made unless the contents are an image, whose root it is.
Result<UniqueFd> make_root(const Contents& contents) {
    const int fd = contents.directory.get();
    if (!contents.is_image && ::mkdirat(fd, contents.tree(), 0755) != 0)
        return fail_errno_at("mkdir", fd, contents.tree());
    LX_TRY_AS(UniqueFd root, open_tree_root(fd, contents.tree()));
    if (::fchmod(root.get(), 0755) != 0)
        return fail_errno_at("chmod", fd, contents.tree());  // whatever the umask
    return root;
}

}  // namespace

Result<UniqueFd> open_tree_root(int dir_fd, const char* name) {
    UniqueFd root(::openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!root) return fail_errno_at("Opening", dir_fd, name);
    return root;
}

Result<std::optional<UniqueFd>> set_map(UniqueFd root, const sys::IdMap& map, sys::IdmapCache& idmaps,
                                        Abilities& abilities) {
    LX_TRY_AS(const int user_namespace, idmaps.get(map));
    auto mapped = sys::set_idmap(root.get(), user_namespace);
    if (mapped) return root;
    const int code = mapped.error().sys_errno;
    if (code != EINVAL && code != ENOSYS && code != EOPNOTSUPP)
        return std::unexpected(std::move(mapped).error());
    abilities.idmapped_mounts = false;
    return std::nullopt;
}

Result<std::optional<UniqueFd>> clone_idmapped(int dir_fd, const char* name, const sys::IdMap& map,
                                               sys::IdmapCache& idmaps, Abilities& abilities) {
    if (!abilities.idmapped_mounts) return std::nullopt;
    LX_TRY_AS(UniqueFd root, sys::clone_mount(dir_fd, name));
    return set_map(std::move(root), map, idmaps, abilities);
}

Result<MountedVolume> finish_mount(UniqueFd root, const MountRequest& request) {
    if (request.read_only) LX_TRY(sys::change_attributes(root.get(), MOUNT_ATTR_RDONLY, 0));
    return MountedVolume{std::move(root)};
}

Result<Draft> TreeVolumes::make(const Volume& volume, const Filler& fill, bool durable) {
    LX_TRY_AS(Draft draft, pool_.begin());
    failpoint("storage.tree.make.begun");
    LX_TRY_AS(const Contents contents, limits_.begin(draft, volume));
    LX_TRY_AS(const UniqueFd root, make_root(contents));
    failpoint("storage.tree.make.root");
    const auto filled = fill ? fill(root.get()) : Result<>();
    if (!filled) return std::unexpected(limits_.explain(volume, contents, filled.error()));
    failpoint("storage.tree.make.filled");
    if (durable && ::syncfs(root.get()) != 0) return fail_errno_at("syncfs", root.get(), "");
    LX_TRY(limits_.finish(draft, volume, contents));
    return draft;
}

Result<> TreeVolumes::create(const Volume& volume, const Filler& fill) {
    LX_TRY(pool_.require_absent(volume));
    // An image is unpacked once and then believed for years: a power cut must not leave it with holes.
    LX_TRY_AS(Draft draft, make(volume, fill, volume.type == VolumeType::image));
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

Result<> TreeVolumes::copy(const Volume& volume, const Volume& source,
                           const std::function<void()>& source_read) {
    LX_TRY(pool_.require_absent(volume));
    LX_TRY_AS(const UniqueFd directory, pool_.open_volume(source));
    LX_TRY_AS(const Contents contents, limits_.open(directory.get()));
    LX_TRY_AS(const UniqueFd from, open_tree_root(contents.directory.get(), contents.tree()));
    LX_TRY_AS(const auto carried, carried_map(directory.get()));
    LX_TRY_AS(Draft draft, pool_.begin());
    failpoint("storage.tree.copy.begun");
    if (carried) LX_TRY(set_carried_map(draft.fd(), *carried));
    LX_TRY_AS(const Contents copy, limits_.begin(draft, volume));
    LX_TRY_AS(const UniqueFd to, make_root(copy));
    const auto copied = copy_tree(from.get(), to.get(), nullptr);
    if (!copied) return std::unexpected(limits_.explain(volume, copy, copied.error()));
    if (source_read) source_read();
    failpoint("storage.tree.copy.copied");
    // What is old and safe in the source must not be lost with the machine's power in its copy.
    if (::syncfs(to.get()) != 0) return fail_errno_at("syncfs", to.get(), "");
    LX_TRY(limits_.finish(draft, volume, copy));
    LX_TRY(pool_.publish(draft, pool_.fd(volume.type), volume.name));
    failpoint("storage.tree.copy.published");
    return {};
}

Result<> TreeVolumes::rewrite_ids(const Volume& volume, int volume_fd, const sys::IdMap* from,
                                  const sys::IdMap* to) {
    const IdShift shift(from, to);
    Volume same = volume;
    LX_TRY_AS(same.size_bytes, limits_.limit(volume_fd));
    return remake(same, volume_fd, &shift, to);
}

Result<> TreeVolumes::remake(const Volume& volume, int volume_fd, const IdShift* shift,
                             const sys::IdMap* carried) {
    // First, so that it goes last: it becomes the old volume, which must not be in use then.
    LX_TRY_AS(Draft draft, pool_.begin());
    LX_TRY_AS(const Contents contents, limits_.open(volume_fd));
    LX_TRY_AS(const UniqueFd old_root, open_tree_root(contents.directory.get(), contents.tree()));
    LX_TRY_AS(const auto project, limits_.project(volume_fd));
    if (carried != nullptr) LX_TRY(set_carried_map(draft.fd(), *carried));
    LX_TRY_AS(const Contents fresh, limits_.begin(draft, volume));
    LX_TRY_AS(const UniqueFd root, make_root(fresh));
    const auto copied = copy_tree(old_root.get(), root.get(), shift);
    if (!copied) return std::unexpected(limits_.explain(volume, fresh, copied.error()));
    LX_TRY(limits_.finish(draft, volume, fresh));
    failpoint("storage.tree.rewrite.copied");
    LX_TRY(pool_.replace(draft, pool_.fd(volume.type), volume.name));
    limits_.forget(project);
    return {};
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
        if (abilities_.idmapped_mounts) {
            LX_TRY_AS(UniqueFd tree, limits_.mount_tree(directory.get(), request));
            LX_TRY_AS(auto mapped, set_map(std::move(tree), *request.idmap, idmaps_, abilities_));
            if (mapped) return finish_mount(std::move(*mapped), request);
        }
        LX_TRY(require_rewriting(request));
        LX_TRY(rewrite_ids(volume, directory.get(), carried ? &*carried : nullptr, request.idmap));
        LX_TRY_AS(directory, pool_.open_volume(volume));
    }
    LX_TRY_AS(UniqueFd root, limits_.mount_tree(directory.get(), request));
    return finish_mount(std::move(root), request);
}

Result<std::uint64_t> TreeVolumes::usage_bytes(const Volume& volume) {
    LX_TRY_AS(const UniqueFd directory, pool_.open_volume(volume));
    LX_TRY_AS(const auto counted, limits_.usage(directory.get()));
    if (counted) return *counted;
    LX_TRY_AS(const UniqueFd root, open_tree_root(directory.get(), "rootfs"));
    return tree_usage_bytes(root.get());
}

Result<bool> change_limit(const VolumeLimits& limits, const Volume& volume, int volume_fd, bool in_use) {
    LX_TRY_AS(const bool done, limits.change(volume, volume_fd));
    if (done || !in_use) return done;
    return fail(Status::bad_request,
                fmt::format("The size of {} cannot be changed so while it is in use: stop what uses it first",
                            describe(volume)));
}

Result<> TreeVolumes::resize(const Volume& volume, bool in_use) {
    LX_TRY_AS(const UniqueFd directory, pool_.open_volume(volume));
    LX_TRY_AS(const bool done, change_limit(limits_, volume, directory.get(), in_use));
    if (done) return {};
    LX_TRY_AS(const auto carried, carried_map(directory.get()));
    return remake(volume, directory.get(), nullptr, carried ? &*carried : nullptr);
}

Result<std::uint64_t> TreeVolumes::limit(const Volume& volume) {
    LX_TRY_AS(const UniqueFd directory, pool_.open_volume(volume));
    return limits_.limit(directory.get());
}

Result<> TreeVolumes::remove(const Volume& volume) {
    const auto directory = pool_.open_volume(volume);
    if (!directory && directory.error().status == Status::not_found) return {};
    if (!directory) return std::unexpected(directory.error());
    LX_TRY_AS(const auto project, limits_.project(directory->get()));
    LX_TRY(pool_.discard(pool_.fd(volume.type), volume.name));
    limits_.forget(project);
    return {};
}

}  // namespace lxmgr::storage
