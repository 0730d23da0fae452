#include "storage/limits/directory_limits.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <tuple>

#include "storage/limits/image_file.h"
#include "storage/limits/project_quota.h"
#include "storage/tree/list.h"

namespace lxmgr::storage {
void DirectoryLimits::open() { projects_ = enforces_project_quotas(pool_.layers_fd()); }

Result<Contents> DirectoryLimits::begin(const Draft& draft, const Volume& volume) const {
    if (volume.size_bytes == 0) return open_contents(draft.fd());
    if (projects_) {
        LX_TRY_AS(const auto project, new_project(draft.fd()));
        LX_TRY(assign_project(draft.fd(), project));
        return open_contents(draft.fd());
    }
    if (auto made = make_image(draft.fd(), volume.size_bytes); !made)
        return std::unexpected(in(describe(volume), std::move(made).error()));
    LX_TRY_AS(Contents contents, open_contents(draft.fd()));
    // It would be a file of the guest's; fsck makes it when it has to.
    if (::unlinkat(contents.directory.get(), "lost+found", AT_REMOVEDIR) != 0)
        return fail_errno_at("Removing", contents.directory.get(), "lost+found");
    return contents;
}

Result<> DirectoryLimits::finish(const Draft& draft, const Volume& volume, const Contents& contents) const {
    if (volume.size_bytes == 0) return {};
    if (contents.is_image) return sync_image(draft.fd(), contents.directory.get());
    LX_TRY_AS(const auto id, project(draft.fd()));
    LX_TRY_AS(const auto usage, project_usage(draft.fd(), id));
    if (usage.used_bytes > volume.size_bytes) return too_large(volume, usage.used_bytes);
    return set_project_limit(draft.fd(), id, volume.size_bytes);
}

Error DirectoryLimits::explain(const Volume& volume, const Contents& contents, Error error) const {
    struct statvfs info{};
    const bool full = contents.is_image && ::fstatvfs(contents.directory.get(), &info) == 0 &&
                      info.f_bavail * info.f_frsize < info.f_blocks * info.f_frsize / 64;
    if (!full && (error.sys_errno != ENOSPC || !contents.is_image)) return error;
    return does_not_fit(volume);
}

Result<std::uint64_t> DirectoryLimits::limit(int volume_fd) const {
    if (has_image(volume_fd)) return image_size(volume_fd);
    LX_TRY_AS(const auto id, project(volume_fd));
    if (id == 0) return 0;
    LX_TRY_AS(const UniqueFd directory, reopen_directory(volume_fd));
    LX_TRY_AS(const auto usage, project_usage(directory.get(), id));
    return usage.limit_bytes;
}

Result<std::optional<std::uint64_t>> DirectoryLimits::usage(int volume_fd) const {
    if (has_image(volume_fd)) {
        LX_TRY_AS(const auto bytes, image_usage(volume_fd));
        return bytes;
    }
    LX_TRY_AS(const auto id, project(volume_fd));
    if (id == 0) return std::nullopt;
    LX_TRY_AS(const UniqueFd directory, reopen_directory(volume_fd));
    LX_TRY_AS(const auto usage, project_usage(directory.get(), id));
    return usage.used_bytes;
}

Result<bool> DirectoryLimits::change(const Volume& volume, int volume_fd) const {
    if (!has_image(volume_fd)) {
        if (projects_) return change_project(volume, volume_fd);
        return volume.size_bytes == 0;
    }
    if (volume.size_bytes == 0) return false;
    LX_TRY_AS(const auto size, image_size(volume_fd));
    if (size == volume.size_bytes) return true;
    if (volume.size_bytes > size) return grow_image(volume_fd, volume.size_bytes);
    LX_TRY_AS(const auto used, image_usage(volume_fd));
    if (used > volume.size_bytes) return too_large(volume, used);
    return false;
}

Result<bool> DirectoryLimits::change_project(const Volume& volume, int volume_fd) const {
    LX_TRY_AS(const UniqueFd directory, reopen_directory(volume_fd));
    LX_TRY_AS(auto id, project_of(directory.get()));
    if (id == 0 && volume.size_bytes == 0) return true;
    if (id == 0) {
        LX_TRY_AS(id, new_project(directory.get()));
        LX_TRY(assign_project(directory.get(), id));
    }
    LX_TRY_AS(const auto usage, project_usage(directory.get(), id));
    if (volume.size_bytes != 0 && usage.used_bytes > volume.size_bytes)
        return too_large(volume, usage.used_bytes);
    LX_TRY(set_project_limit(directory.get(), id, volume.size_bytes));
    return true;
}

Result<std::uint32_t> DirectoryLimits::project(int volume_fd) const {
    if (!projects_) return 0;
    LX_TRY_AS(const UniqueFd directory, reopen_directory(volume_fd));
    return project_of(directory.get());
}

void DirectoryLimits::forget(std::uint32_t project) const {
    // What stays behind without it is an entry of the quota file that nobody uses.
    if (project != 0) std::ignore = set_project_limit(pool_.layers_fd(), project, 0);
}

}  // namespace lxmgr::storage
