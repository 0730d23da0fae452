#include "images/entry_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <functional>

namespace lxmgr::images {
namespace {

constexpr std::size_t kOpenParents = 64;
constexpr std::uint64_t kNodeBytes = 160;  // what a remembered directory costs beside its path, roughly

std::string name_of(const Entry& entry) { return std::string(base_name(entry.path)); }

/// A system call that failed on an entry: the image's fault when its names are, else ours.
std::unexpected<Error> failed(std::string_view call, std::string_view path) {
    switch (errno) {
        case ELOOP:
        case EXDEV:
            return refuse(path, "lies behind a symlink of the image");
        case ENOTDIR:
            return refuse(path, "lies below something that is no directory");
        default:
            return fail_errno(call, fmt::format("image entry {}", shown(path)));
    }
}

Result<> set_xattrs(int fd, const std::vector<Xattr>& xattrs, std::string_view path) {
    for (const auto& xattr : xattrs) {
        if (!is_image_xattr(xattr.name)) continue;
        if (::fsetxattr(fd, xattr.name.c_str(), xattr.value.data(), xattr.value.size(), 0) == 0) continue;
        // A file system without user attributes or ACLs still makes a working root; without capabilities it
        // does not.
        if (errno == EOPNOTSUPP && xattr.name != "security.capability") continue;
        if (errno == EINVAL || errno == E2BIG || errno == ERANGE) {
            return refuse(path, fmt::format("has an unusable extended attribute {}", shown(xattr.name)));
        }
        return fail_errno("fsetxattr", fmt::format("image entry {}", shown(path)));
    }
    return {};
}

Result<> set_owner_and_time_of_link(int parent, const std::string& name, const Entry& entry) {
    const auto uid = static_cast<uid_t>(entry.uid);
    const auto gid = static_cast<gid_t>(entry.gid);
    if (::fchownat(parent, name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
        return failed("fchownat", entry.path);
    const std::array<timespec, 2> times{timespec{0, UTIME_OMIT}, entry.mtime};
    if (::utimensat(parent, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
        return failed("utimensat", entry.path);
    }
    return {};
}

}  // namespace

Result<> FileWriter::write(std::uint64_t offset, const char* data, std::size_t size) {
    LX_TRY(budget_->take_bytes(size));
    while (size > 0) {
        const ssize_t n = ::pwrite(fd_.get(), data, size, static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return failed("pwrite", entry_.path);
        const auto done = static_cast<std::size_t>(n);
        data += done;
        size -= done;
        offset += done;
    }
    end_ = std::max(end_, offset);
    return {};
}

Result<> FileWriter::finish() {
    if (end_ != entry_.size_bytes && ::ftruncate(fd_.get(), static_cast<off_t>(entry_.size_bytes)) != 0) {
        return failed("ftruncate", entry_.path);
    }
    // chown clears setuid bits and file capabilities, so it comes first; an ACL may refine the mode, so it
    // comes last.
    const auto uid = static_cast<uid_t>(entry_.uid);
    const auto gid = static_cast<gid_t>(entry_.gid);
    if (::fchown(fd_.get(), uid, gid) != 0) return failed("fchown", entry_.path);
    if (::fchmod(fd_.get(), entry_.mode) != 0) return failed("fchmod", entry_.path);
    LX_TRY(set_xattrs(fd_.get(), entry_.xattrs, entry_.path));
    const std::array<timespec, 2> times{timespec{0, UTIME_OMIT}, entry_.mtime};
    if (::futimens(fd_.get(), times.data()) != 0) return failed("futimens", entry_.path);
    fd_.reset();
    return {};
}

Result<std::optional<FileWriter>> EntryWriter::add(Entry entry) {
    LX_TRY(budget_.take_entry());
    LX_TRY_AS(const bool wanted, admit(entry));
    const bool of_skipped = entry.type == EntryType::hard_link && skipped_paths_.contains(entry.link_target);
    if (!wanted || of_skipped) return leave_out(std::move(entry));
    switch (entry.type) {
        case EntryType::directory:
            LX_TRY(add_directory(std::move(entry)));
            break;
        case EntryType::symlink:
            LX_TRY(add_symlink(entry));
            break;
        case EntryType::hard_link:
            LX_TRY(add_link(entry));
            break;
        case EntryType::fifo:
            LX_TRY(add_node(entry, S_IFIFO));
            break;
        case EntryType::char_device: {
            LX_TRY_AS(const bool made, add_device(entry));
            if (!made) return leave_out(std::move(entry));
            break;
        }
        default: {
            LX_TRY_AS(FileWriter file, add_file(std::move(entry)));
            return std::optional<FileWriter>(std::move(file));
        }
    }
    return std::optional<FileWriter>();
}

Result<std::optional<FileWriter>> EntryWriter::leave_out(Entry entry) {
    LX_TRY(budget_.take_memory(entry.path.size() + kNodeBytes));
    ++skipped_;
    skipped_paths_.insert(std::move(entry.path));
    return std::optional<FileWriter>();
}

Result<> EntryWriter::finish() {
    if (!directories_.contains(""))
        LX_TRY(remember_directory(Entry{.type = EntryType::directory, .mode = 0755}));
    for (auto it = directories_.rbegin(); it != directories_.rend(); ++it) {
        const auto& [path, attributes] = *it;
        LX_TRY(budget_.check_stop());
        LX_TRY_AS(const UniqueFd fd, open_directory(path, path, O_RDONLY));
        if (::fchown(fd.get(), attributes.uid, attributes.gid) != 0) return failed("fchown", path);
        if (::fchmod(fd.get(), attributes.mode) != 0) return failed("fchmod", path);
        LX_TRY(set_xattrs(fd.get(), attributes.xattrs, path));
        const std::array<timespec, 2> times{timespec{0, UTIME_OMIT}, attributes.mtime};
        if (::futimens(fd.get(), times.data()) != 0) return failed("futimens", path);
    }
    return {};
}

Result<UniqueFd> EntryWriter::open_directory(std::string_view directory, std::string_view entry,
                                             int flags) const {
    open_how how{};
    how.flags = static_cast<__u64>(flags | O_DIRECTORY | O_CLOEXEC);
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
    const std::string path = directory.empty() ? "." : std::string(directory);
    for (;;) {
        UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root_fd_, path.c_str(), &how, sizeof how)));
        if (fd) return fd;
        if (errno != EINTR && errno != EAGAIN)
            return failed("openat2", entry);  // EAGAIN: a rename raced, openat2(2)
    }
}

Result<int> EntryWriter::parent_fd(std::string_view path) {
    const std::string_view directory = parent_path(path);
    if (const auto it = open_parents_.find(directory); it != open_parents_.end()) return it->second.get();
    auto fd = open_directory(directory, path, O_PATH);
    if (!fd && fd.error().sys_errno == ENOENT) {
        LX_TRY(make_parent(directory));
        fd = open_directory(directory, path, O_PATH);
    }
    LX_FAIL_IF_(return, fd);
    // Directories never go away here, so that an old descriptor stays right; the bound is on descriptors
    // only.
    if (open_parents_.size() >= kOpenParents) open_parents_.clear();
    return open_parents_.emplace(std::string(directory), *std::move(fd)).first->second.get();
}

/// For archives that do not name every directory: from the top down, so that depth costs no stack.
Result<> EntryWriter::make_parent(std::string_view directory) {
    for (std::size_t end = 0; end < directory.size();) {
        end = std::min(directory.find('/', end + 1), directory.size());
        const std::string path(directory.substr(0, end));
        LX_TRY_AS(const UniqueFd above, open_directory(parent_path(path), path, O_PATH));
        if (::mkdirat(above.get(), std::string(base_name(path)).c_str(), 0700) == 0) {
            LX_TRY(budget_.take_entry());
            LX_TRY(remember_directory(Entry{.path = path, .type = EntryType::directory, .mode = 0755}));
        } else if (errno != EEXIST) {
            return failed("mkdirat", path);
        }
    }
    return {};
}

template <typename Create>
Result<> EntryWriter::create(const Entry& entry, Create create_at) {
    LX_TRY_AS(const int parent, parent_fd(entry.path));
    const std::string name = name_of(entry);
    if (create_at(parent, name.c_str()) == 0) return {};
    if (errno != EEXIST) return failed("Creating", entry.path);
    if (::unlinkat(parent, name.c_str(), 0) != 0) {
        if (errno == EISDIR) return refuse(entry.path, "would replace a directory");
        return failed("Replacing", entry.path);
    }
    if (create_at(parent, name.c_str()) != 0) return failed("Creating", entry.path);
    return {};
}

Result<> EntryWriter::add_directory(Entry entry) {
    if (entry.path.empty()) return remember_directory(std::move(entry));
    LX_TRY_AS(const int parent, parent_fd(entry.path));
    const std::string name = name_of(entry);
    if (::mkdirat(parent, name.c_str(), 0700) != 0) {
        if (errno != EEXIST) return failed("mkdirat", entry.path);
        struct stat st{};
        if (::fstatat(parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
            return failed("fstatat", entry.path);
        if (!S_ISDIR(st.st_mode)) return refuse(entry.path, "is a directory and something else");
    }
    return remember_directory(std::move(entry));
}

Result<> EntryWriter::remember_directory(Entry entry) {
    std::uint64_t bytes = entry.path.size() + kNodeBytes;
    for (const auto& xattr : entry.xattrs) bytes += xattr.name.size() + xattr.value.size();
    LX_TRY(budget_.take_memory(bytes));
    directories_[std::move(entry.path)] =
        Attributes{static_cast<std::uint32_t>(entry.uid), static_cast<std::uint32_t>(entry.gid), entry.mode,
                   entry.mtime, std::move(entry.xattrs)};
    return {};
}

Result<> EntryWriter::add_link(const Entry& entry) {
    if (entry.link_target == entry.path) return {};
    const std::string target_name(base_name(entry.link_target));
    // The cache may drop descriptors while the other parent is looked up, so this one is our own.
    const auto target = open_directory(parent_path(entry.link_target), entry.link_target, O_PATH);
    struct stat st{};
    if ((!target && target.error().sys_errno == ENOENT) ||
        (target && ::fstatat(target->get(), target_name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0 &&
         errno == ENOENT)) {
        return refuse(entry.path, "is a hard link to an entry that does not come before it");
    }
    if (!target) return std::unexpected(target.error());
    if (S_ISDIR(st.st_mode)) return refuse(entry.path, "is a hard link to a directory");
    return create(entry, [&](int parent, const char* name) {
        return ::linkat(target->get(), target_name.c_str(), parent, name,
                        0);  // flags 0: a symlink is not followed
    });
}

Result<> EntryWriter::add_symlink(const Entry& entry) {
    LX_TRY(create(entry, [&](int parent, const char* name) {
        return ::symlinkat(entry.link_target.c_str(), parent, name);
    }));
    LX_TRY_AS(const int parent, parent_fd(entry.path));
    return set_owner_and_time_of_link(parent, name_of(entry), entry);
}

Result<bool> EntryWriter::add_device(const Entry& entry) {
    auto made = add_node(entry, S_IFCHR);
    if (made) return true;
    if (made.error().sys_errno == EPERM) return false;
    return std::unexpected(std::move(made).error());
}

Result<> EntryWriter::add_node(const Entry& entry, mode_t type) {
    const dev_t device = type == S_IFCHR ? makedev(entry.device_major, entry.device_minor) : 0;
    LX_TRY(create(
        entry, [&](int parent, const char* name) { return ::mknodat(parent, name, type | 0600, device); }));
    LX_TRY_AS(const int parent, parent_fd(entry.path));
    const std::string name = name_of(entry);
    LX_TRY(set_owner_and_time_of_link(parent, name, entry));
    // fchmodat(2) follows symlinks, and this is none: we made it, and nobody else works in this directory.
    if (::fchmodat(parent, name.c_str(), entry.mode, 0) != 0) return failed("fchmodat", entry.path);
    return {};
}

Result<FileWriter> EntryWriter::add_file(Entry entry) {
    LX_TRY(budget_.check_file_size(entry.path, entry.size_bytes));
    UniqueFd fd;
    LX_TRY(create(entry, [&](int parent, const char* name) {
        fd.reset(::openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        return fd ? 0 : -1;
    }));
    return FileWriter(std::move(fd), std::move(entry), budget_);
}

Result<> EntryChecker::add(const Entry& entry) {
    LX_TRY(budget_.take_entry());
    LX_TRY_AS(const bool wanted, admit(entry));
    if (entry.type == EntryType::file) LX_TRY(budget_.check_file_size(entry.path, entry.size_bytes));
    const std::hash<std::string_view> hash;
    for (auto parent = parent_path(entry.path); !parent.empty(); parent = parent_path(parent)) {
        if (symlinks_.contains(hash(parent))) return refuse(entry.path, "lies behind a symlink of the image");
    }
    if (entry.type == EntryType::symlink) {
        LX_TRY(budget_.take_memory(64));
        symlinks_.insert(hash(entry.path));
    }
    if (wanted && !entry.path.empty()) ++accepted_;
    return {};
}

}  // namespace lxmgr::images
