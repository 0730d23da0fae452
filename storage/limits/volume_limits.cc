#include "storage/limits/volume_limits.h"

#include <fcntl.h>
#include <fmt/format.h>

#include "lxd-daemon/sys/mount.h"
#include "storage/limits/image_file.h"
#include "storage/tree/list.h"

namespace lxmgr::storage {

std::unexpected<Error> too_large(const Volume& volume, std::uint64_t used_bytes) {
    return fail(Status::bad_request, fmt::format("{} holds {} bytes and cannot be limited to {}",
                                                 describe(volume), used_bytes, volume.size_bytes));
}

Error does_not_fit(const Volume& volume) {
    return {Status::bad_request,
            fmt::format("{} does not fit into its size of {} bytes", describe(volume), volume.size_bytes),
            ENOSPC};
}

Result<Contents> open_contents(int volume_fd) {
    Contents out;
    out.is_image = has_image(volume_fd);
    if (out.is_image) {
        LX_TRY_AS(out.directory, mount_image(volume_fd));
        return out;
    }
    out.directory.reset(::fcntl(volume_fd, F_DUPFD_CLOEXEC, 0));
    if (!out.directory) return fail_errno_at("dup", volume_fd, "");
    return out;
}

Result<UniqueFd> VolumeLimits::mount_tree(int volume_fd, const MountRequest&) const {
    if (has_image(volume_fd)) return mount_image(volume_fd);
    return sys::clone_mount(volume_fd, "rootfs");
}

Result<std::uint32_t> VolumeLimits::project(int) const { return 0; }
void VolumeLimits::forget(std::uint32_t) const {}

}  // namespace lxmgr::storage
