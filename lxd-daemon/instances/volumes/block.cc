#include "lxd-daemon/instances/volumes/block.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lxd-daemon/instances/pool_keys.h"
#include "lxd-daemon/instances/volume_size.h"
#include "lxd-daemon/sys/path.h"

namespace lxmgr::instances {
namespace {

constexpr std::uint64_t kBlockDefault = std::uint64_t{10} << 30U;

}  // namespace

bool is_block(const database::VolumeRecord& record) { return record.content_type == kBlockContent; }

std::uint64_t block_size(const api::ConfigMap& config) {
    const auto given = size_of(config);
    return given == 0 ? kBlockDefault : given;
}

Result<> check_content_keys(const std::string& content_type, const api::ConfigMap& config) {
    for (const char* key :
         {"initial.gid", "initial.mode", "initial.uid", "security.shifted", "security.unmapped"}) {
        if (content_type == kBlockContent && config.contains(key))
            return fail(
                Status::bad_request,
                fmt::format("Volume option \"{}\" is for volumes of content type \"filesystem\"", key));
    }
    if (content_type != kBlockContent && config.contains("security.shared"))
        return fail(
            Status::bad_request,
            "Volume option \"security.shared\" is for volumes of content type \"block\": of others, any "
            "number of instances can have one");
    return {};
}

storage::Volume snapshot_shape_of(const database::VolumeRecord& record) {
    storage::Volume out;
    if (is_block(record)) out.content_bytes = block_size(record.config);
    out.file_system = api::value_of(record.config, "block.filesystem");
    out.stripes = stripes_of(record.config);
    out.like_source = true;
    return out;
}

storage::Volume shape_of(const database::VolumeRecord& record) {
    storage::Volume out = snapshot_shape_of(record);
    out.like_source = false;
    if (!is_block(record)) out.size_bytes = size_of(record.config);
    return out;
}

storage::Filler block_filler(std::uint64_t bytes) {
    return [bytes](int root_fd) -> Result<> {
        const UniqueFd file(
            ::openat(root_fd, kBlockFile, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (!file || ::ftruncate(file.get(), static_cast<off_t>(bytes)) != 0)
            return fail_errno("Creating", kBlockFile);
        return {};
    };
}

Result<std::uint64_t> block_bytes(storage::Driver& driver, const storage::Volume& volume) {
    const sys::IdMap as_inside = sys::IdMap::host();
    LX_TRY_AS(const auto mounted, driver.mount(volume, {.idmap = &as_inside, .read_only = true}));
    struct stat st{};
    if (::fstatat(mounted.root.get(), kBlockFile, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return fail(Status::bad_request, "The block volume has no content");
    return static_cast<std::uint64_t>(st.st_size);
}

Result<> grow_block(storage::Driver& driver, const storage::Volume& volume, std::uint64_t bytes) {
    const sys::IdMap as_inside = sys::IdMap::host();
    storage::Volume room = volume;
    room.size_bytes = 0;  // a limit is not what it has
    room.content_bytes = bytes;
    LX_TRY(driver.resize_volume(room, true));
    LX_TRY_AS(const auto mounted, driver.mount(volume, {.idmap = &as_inside}));
    LX_TRY_AS(const UniqueFd file, sys::open_no_symlinks(mounted.root.get(), kBlockFile, O_WRONLY));
    struct stat st{};
    if (::fstat(file.get(), &st) != 0) return fail_errno("fstat", kBlockFile);
    if (bytes < static_cast<std::uint64_t>(st.st_size))
        return fail(Status::bad_request, "Block volumes cannot be shrunk");
    if (::ftruncate(file.get(), static_cast<off_t>(bytes)) != 0) return fail_errno("ftruncate", kBlockFile);
    return {};
}

}  // namespace lxmgr::instances
