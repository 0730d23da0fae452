#include "storage/pool_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/sys/mount.h"
#include "storage/block_groups.h"
#include "storage/tree/list.h"

namespace lxmgr::storage {
namespace {

constexpr const char* kOwnerFile = ".lxmgr-pool";
constexpr std::array kDirectories = {"containers", "images", "custom", "layers", "tmp", "snapshots"};

std::string source_of(const PoolConfig& config) {
    const auto found = config.config.find("source");
    return found == config.config.end() ? std::string() : found->second;
}

}  // namespace

std::string describe(const Volume& volume) {
    switch (volume.type) {
        case VolumeType::container:
            return fmt::format("Container volume '{}'", volume.name);
        case VolumeType::image:
            return fmt::format("Image volume '{}'", volume.name);
        case VolumeType::snapshot:
            return fmt::format("Snapshot volume '{}'", volume.name);
        case VolumeType::custom:
            break;
    }
    return fmt::format("Custom volume '{}'", volume.name);
}

Result<> PoolDirectory::check(const PoolConfig& config) {
    if (!config.config.contains("source")) return {};
    const std::string source = source_of(config);
    const auto refuse = [&](const char* why) {
        return fail(Status::bad_request, fmt::format("Source of pool '{}' {}", config.name, why));
    };
    if (has_control_chars(source) || !is_utf8(source)) return refuse("holds control characters");
    if (source.size() < 2 || source.front() != '/') return refuse("must be an absolute path below '/'");
    for (const auto& part : split(source, '/')) {
        if (part == "." || part == "..") return refuse("must not hold '.' or '..'");
    }
    return {};
}

std::string PoolDirectory::root() const {
    const std::string source = source_of(config_);
    return source.empty() ? config_.path : source;
}

/// Writes our name into an empty `source`, before anything else is put there; checks it in one that is not
/// empty.
Result<> PoolDirectory::claim_source() const {
    const std::string source = source_of(config_), file = source + "/" + kOwnerFile;
    const UniqueFd fd(::open(source.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat st{};
    if (!fd || ::fstat(fd.get(), &st) != 0) {
        auto error = fail_errno("Opening source", source);
        error.error().status = Status::bad_request;
        return error;
    }
    if (st.st_uid != 0 || (st.st_mode & 022) != 0) {
        return fail(Status::bad_request,
                    fmt::format("Source {} must belong to root and be writable by no one else", source));
    }
    if (path_exists(file)) {
        LX_TRY_AS(const std::string owner, read_file(file, 4096));
        if (owner == config_.path) return {};
        return fail(Status::bad_request, fmt::format("Source {} belongs to another pool: {}", source, owner));
    }
    LX_TRY_AS(const auto entries, list_directory(fd.get()));
    const auto counts = [](const Entry& entry) {
        // mkfs puts the one there; the other is our own file, when we died while writing it.
        return entry.name != "lost+found" && !entry.name.starts_with(std::string(kOwnerFile) + ".tmp-");
    };
    if (std::ranges::any_of(entries, counts)) {
        return fail(Status::bad_request, fmt::format("Source {} is not empty", source));
    }
    return write_file_atomic(file, config_.path);
}

Result<> PoolDirectory::open_directory(UniqueFd& fd, const char* name) {
    if (::mkdirat(root_.get(), name, 0711) != 0 && errno != EEXIST)
        return fail_errno_at("mkdir", root_.get(), name);
    fd.reset(::openat(root_.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return fail_errno_at("Opening", root_.get(), name);
    if (::fchmod(fd.get(), 0711) != 0) return fail_errno_at("chmod", root_.get(), name);
    return {};
}

Result<> PoolDirectory::open() {
    LX_TRY(make_directories(config_.path, 0711));
    failpoint("storage.pool.open.path");
    if (!source_of(config_).empty()) LX_TRY(claim_source());
    root_.reset(::open(root().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!root_) return fail_errno("Opening", root());
    if (::fchmod(root_.get(), 0711) != 0) return fail_errno("chmod", root());
    LX_TRY(open_directory(containers_, kDirectories[0]));
    failpoint("storage.pool.open.containers");
    LX_TRY(open_directory(images_, kDirectories[1]));
    LX_TRY(open_directory(custom_, kDirectories[2]));
    LX_TRY(open_directory(layers_, kDirectories[3]));
    LX_TRY(open_directory(tmp_, kDirectories[4]));
    spread_over_block_groups(tmp_.get());  // every volume is begun there
    LX_TRY(open_directory(snapshots_, kDirectories[5]));
    LX_TRY_AS(const auto magic, sys::file_system_magic(root_.get()));
    ordered_journal_ = magic == EXT4_SUPER_MAGIC || magic == XFS_SUPER_MAGIC;
    rubbish_.open(tmp_.get());
    return {};
}

Result<> PoolDirectory::require_empty() const {
    for (const auto type :
         {VolumeType::container, VolumeType::image, VolumeType::custom, VolumeType::snapshot}) {
        LX_TRY_AS(const auto names, list(fd(type)));
        if (!names.empty()) {
            const std::string what = describe({type, names.front()});
            return fail(Status::bad_request,
                        fmt::format("Pool '{}' still has volumes: {}", config_.name, what));
        }
    }
    return {};
}

void PoolDirectory::close() {
    rubbish_.drain();
    for (UniqueFd* fd : {&root_, &containers_, &images_, &custom_, &snapshots_, &layers_, &tmp_}) fd->reset();
}

Result<> PoolDirectory::remove() {
    LX_TRY(require_empty());
    rubbish_.drain();
    LX_TRY(recover());
    rubbish_.drain();
    for (const char* name : kDirectories) {
        if (::unlinkat(root_.get(), name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
            return fail_errno_at("Removing", root_.get(), name);
        }
        failpoint("storage.pool.remove.directory");
    }
    if (!source_of(config_).empty() && ::unlinkat(root_.get(), kOwnerFile, 0) != 0 && errno != ENOENT) {
        return fail_errno_at("Removing", root_.get(), kOwnerFile);
    }
    if (::rmdir(config_.path.c_str()) != 0 && errno != ENOENT) return fail_errno("Removing", config_.path);
    return {};
}

Result<> PoolDirectory::recover() {
    LX_TRY_AS(const auto names, list(tmp_.get()));
    for (const auto& name : names) rubbish_.remove(name);
    return {};
}

int PoolDirectory::fd(VolumeType type) const {
    switch (type) {
        case VolumeType::container:
            return containers_.get();
        case VolumeType::image:
            return images_.get();
        case VolumeType::snapshot:
            return snapshots_.get();
        case VolumeType::custom:
            break;
    }
    return custom_.get();
}

Result<UniqueFd> PoolDirectory::open_volume(const Volume& volume) const {
    UniqueFd opened(
        ::openat(fd(volume.type), volume.name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (opened) return opened;
    if (errno != ENOENT) return fail_errno_at("Opening", fd(volume.type), volume.name);
    return fail(Status::not_found, fmt::format("{} not found in pool '{}'", describe(volume), config_.name));
}

Result<std::vector<std::string>> PoolDirectory::list(int dir_fd) const {
    // Opened anew: the position of a shared descriptor is no thread's own.
    const UniqueFd own(::openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!own) return fail_errno_at("Opening", dir_fd, "");
    LX_TRY_AS(auto entries, list_directory(own.get()));
    std::vector<std::string> names;
    for (auto& entry : entries) names.push_back(std::move(entry.name));
    return names;
}

Result<PoolSpace> PoolDirectory::space() const {
    struct statvfs info{};
    if (::fstatvfs(root_.get(), &info) != 0) return fail_errno("statvfs", root());
    PoolSpace space;
    space.total_bytes = info.f_blocks * info.f_frsize;
    space.used_bytes = (info.f_blocks - info.f_bfree) * info.f_frsize;
    space.total_inodes = info.f_files;
    space.used_inodes = info.f_files - info.f_ffree;
    return space;
}

Result<Draft> PoolDirectory::begin() {
    return begin_from([this](int tmp_fd, const std::string& name) { return maker_.create(tmp_fd, name); });
}

Result<Draft> PoolDirectory::begin_from(
    const std::function<Result<>(int tmp_fd, const std::string& name)>& create) {
    const std::string name = "new-" + random_hex(12);
    LX_TRY(create(tmp_.get(), name));
    Draft draft(rubbish_, name,
                UniqueFd(::openat(tmp_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
    if (draft.fd() < 0) return fail_errno_at("Opening", tmp_.get(), name);
    return draft;
}

Result<> PoolDirectory::move(int from_fd, const std::string& from, int to_fd, const std::string& to) {
    if (::renameat2(from_fd, from.c_str(), to_fd, to.c_str(), RENAME_NOREPLACE) == 0) return {};
    // EINVAL: the file system knows no flags, rename(2). Volumes are never empty, so a taken name still
    // fails.
    if (errno == EINVAL && ::renameat(from_fd, from.c_str(), to_fd, to.c_str()) == 0) return {};
    const int code = errno;
    auto error = fail_errno_at("Renaming to", to_fd, to);
    if (code == ENOENT) error.error().status = Status::not_found;
    if (code == ENOTEMPTY || code == EEXIST || code == ENOTDIR) error.error().status = Status::conflict;
    return error;
}

Result<> PoolDirectory::rename(const Volume& volume, const std::string& new_name) {
    if (auto moved = move(fd(volume.type), volume.name, fd(volume.type), new_name); !moved) {
        return std::unexpected(in(fmt::format("Renaming {} of pool '{}'", describe(volume), config_.name),
                                  std::move(moved).error()));
    }
    failpoint("storage.pool.rename.moved");
    return sync(fd(volume.type));
}

/// ext4 and xfs write metadata in order, so one fsync(2) of the directory after the rename covers all that
/// was made before it; other file systems (btrfs) promise that only for the directory itself, so the draft is
/// synced first.
Result<> PoolDirectory::publish(Draft& draft, int dir_fd, const std::string& name) {
    if (!ordered_journal_) LX_TRY(sync(draft.fd()));
    LX_TRY(move(tmp_.get(), draft.name(), dir_fd, name));
    draft.published();
    auto synced = sync(dir_fd);
    if (!synced) LX_TRY(discard(dir_fd, name));
    return synced;
}

Result<> PoolDirectory::replace(Draft& draft, int dir_fd, const std::string& name) {
    if (::syncfs(draft.fd()) != 0) return fail_errno_at("syncfs", draft.fd(), "");
    if (::renameat2(tmp_.get(), draft.name().c_str(), dir_fd, name.c_str(), RENAME_EXCHANGE) != 0) {
        return fail_errno_at("Exchanging", dir_fd, name);
    }
    failpoint("storage.pool.replace.exchanged");
    return sync(dir_fd);  // the draft's name now holds the old directory, and goes with it
}

Result<> PoolDirectory::require_absent(const Volume& volume) const {
    struct stat st{};
    if (::fstatat(fd(volume.type), volume.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return {};
    return fail(Status::conflict,
                fmt::format("{} already exists in pool '{}'", describe(volume), config_.name));
}

Result<> PoolDirectory::swap(const Volume& a, const Volume& b) {
    const int first = fd(a.type), second = fd(b.type);
    if (::renameat2(first, a.name.c_str(), second, b.name.c_str(), RENAME_EXCHANGE) != 0) {
        const int code = errno;
        auto error = fail_errno_at("Exchanging", first, a.name);
        if (code == ENOENT) error.error().status = Status::not_found;
        return error;
    }
    failpoint("storage.pool.swap.exchanged");
    LX_TRY(sync(first));
    return sync(second);
}

Result<> PoolDirectory::discard(int dir_fd, const std::string& name) {
    const std::string hidden = "trash-" + random_hex(12);
    if (::renameat(dir_fd, name.c_str(), tmp_.get(), hidden.c_str()) != 0) {
        if (errno == ENOENT) return {};
        if (errno != ENOSPC || !maker_.removes_at_once()) return fail_errno_at("Removing", dir_fd, name);
        // btrfs keeps a reserve for what makes room, and a rename is not of that kind.
        LX_TRY(maker_.remove(dir_fd, name, [] { return false; }));
        return {};
    }
    failpoint("storage.pool.discard.hidden");
    rubbish_.remove(hidden);
    return {};
}

Result<> PoolDirectory::sync(int dir_fd) const {
    if (::fsync(dir_fd) != 0) return fail_errno_at("fsync", dir_fd, "");
    return {};
}

}  // namespace lxmgr::storage
