#include "storage/overlay/overlay_mount.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>

#include "lxd-daemon/sys/credentials.h"
#include "lxd-daemon/sys/mount.h"
#include "storage/tree/list.h"

namespace lxmgr::storage {
namespace {

/// Written out, since distributions build overlay with different defaults. Without redirect_dir a rename(2)
/// of a directory of the image fails with EXDEV; metacopy and index would tie the upper to what lies below
/// it.
Result<sys::FsContext> open_context(const OverlayLayers& layers) {
    LX_TRY_AS(auto context, sys::FsContext::open("overlay"));
    LX_TRY(context.set("source", "lxmgr"));
    LX_TRY(context.set("redirect_dir", "on"));
    LX_TRY(context.set("metacopy", "off"));
    LX_TRY(context.set("index", "off"));
    if (layers.trial) LX_TRY(context.set_flag("volatile"));  // Linux 5.10
    return context;
}

/// As uid 0 the kernel could not create in an idmapped workdir (EOVERFLOW) and would mount read-only without
/// a word (kernel-facts.md, idmapped mounts). The ids in force at CREATE stay those of the overlay's own work
/// on its layers.
Result<UniqueFd> create(sys::FsContext& context, const OverlayLayers& layers) {
    {
        LX_TRY_AS(const auto ids, sys::ScopedFsIds::become(layers.root_uid, layers.root_gid));
        LX_TRY(context.create());
    }
    LX_TRY_AS(UniqueFd root, context.mount());
    struct statvfs info{};
    if (::fstatvfs(root.get(), &info) != 0) return fail_errno("statvfs", "the overlay");
    if ((info.f_flag & ST_RDONLY) == 0) return root;
    return fail(Status::internal,
                fmt::format("The kernel can only mount the overlay read-only: {}", context.messages()));
}

Result<UniqueFd> open_layer_path(int mount_fd, const char* name) {
    UniqueFd fd(::openat(mount_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return fail_errno_at("Opening", mount_fd, name);
    return fd;
}

Result<UniqueFd> mount_detached(const OverlayLayers& layers) {
    LX_TRY_AS(const UniqueFd upper, open_layer_path(layers.volume.get(), "upper"));
    LX_TRY_AS(const UniqueFd work, open_layer_path(layers.volume.get(), "work"));
    LX_TRY_AS(auto context, open_context(layers));
    LX_TRY(context.set_fd("lowerdir+", layers.lower.get()));
    LX_TRY(context.set_fd("upperdir", upper.get()));
    LX_TRY(context.set_fd("workdir", work.get()));
    return create(context, layers);
}

/// Runs on the staging thread. The paths are ours, so there is no colon to escape.
Result<UniqueFd> mount_staged(const OverlayLayers& layers) {
    LX_TRY_AS(const auto lower, sys::attach_mount(layers.lower.get(), Staging::kLower));
    LX_TRY_AS(const auto volume, sys::attach_mount(layers.volume.get(), Staging::kVolume));
    LX_TRY_AS(auto context, open_context(layers));
    LX_TRY(context.set("lowerdir", lower.target()));
    LX_TRY(context.set("upperdir", volume.target() + "/upper"));
    LX_TRY(context.set("workdir", volume.target() + "/work"));
    return create(context, layers);
}

}  // namespace

Result<UniqueFd> mount_overlay(const OverlayLayers& layers, Abilities& abilities, Staging& staging) {
    if (abilities.detached_layers) {
        if (auto mounted = mount_detached(layers)) return mounted;
        // No error tells an old kernel from a real obstacle: the staged way decides.
    }
    auto mounted = staging.run([&layers] { return mount_staged(layers); });
    if (mounted) abilities.detached_layers = false;
    return mounted;
}

}  // namespace lxmgr::storage
