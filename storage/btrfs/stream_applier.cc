#include "storage/btrfs/stream_applier.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <limits>
#include <utility>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/sys/harmless_devices.h"
#include "lxd-daemon/sys/path.h"

namespace lxmgr::storage {
namespace {

using Kind = StreamCommandKind;
using Attribute = StreamAttribute;
constexpr std::size_t kMaxLinkTarget = 4095;

std::string shown_name(const std::string& path) {
    std::string out = path.substr(0, 200);
    if (!is_utf8(out) || has_control_chars(out)) {
        for (char& c : out) {
            if (c < 0x20 || c == 0x7f) c = '?';
        }
    }
    return out;
}

/// What went wrong is the stream's fault, unless it is the disk's.
std::unexpected<Error> cannot(std::string_view what, const std::string& path) {
    const int code = errno;
    const bool ours = code == ENOSPC || code == EDQUOT || code == EIO || code == ENOMEM || code == EMFILE ||
                      code == ENFILE || code == EROFS;
    auto error = fail_errno(what, shown_name(path));
    if (!ours) error.error().status = Status::bad_request;
    return error;
}

std::unexpected<Error> refused(const std::string& path, std::string_view what) {
    return fail(Status::bad_request,
                fmt::format("The stream of a btrfs volume {}, at '{}'", what, shown_name(path)));
}

/// As images/entry.h has them: the others mean something to the host.
bool is_kept_xattr(std::string_view name) {
    return name == "security.capability" || name == "system.posix_acl_access" ||
           name == "system.posix_acl_default" || (name.starts_with("user.") && name.size() > 5);
}

std::string by_descriptor(const UniqueFd& fd) { return fmt::format("/proc/self/fd/{}", fd.get()); }

Result<off_t> offset_of(const StreamCommand& command, Attribute attribute, const std::string& path) {
    LX_TRY_AS(const std::uint64_t offset, command.number(attribute));
    if (offset > std::uint64_t{std::numeric_limits<off_t>::max()})
        return refused(path, "has an offset out of range");
    return static_cast<off_t>(offset);
}

Result<> write_all_at(int fd, std::string_view data, off_t offset, const std::string& path) {
    while (!data.empty()) {
        const ssize_t n = ::pwrite(fd, data.data(), data.size(), offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return cannot("Writing", path);
        data.remove_prefix(static_cast<std::size_t>(n));
        offset += n;
    }
    return {};
}

}  // namespace

void StreamApplier::forget() {
    directory_.reset();
    file_.reset();
    file_path_.clear();
}

Result<StreamApplier::Place> StreamApplier::place(const std::string& path) {
    if (path.empty()) return refused(path, "does to the root what cannot be done to it");
    const auto slash = path.rfind('/');
    const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash);
    if (!directory_ || directory_path_ != parent) {
        auto opened = sys::open_no_symlinks(root_, parent, O_PATH | O_DIRECTORY);
        if (!opened) return refused(path, "names what is not there or no directory");
        directory_ = std::move(*opened);
        directory_path_ = parent;
    }
    return Place{directory_.get(), slash == std::string::npos ? path : path.substr(slash + 1)};
}

Result<UniqueFd> StreamApplier::open_object(int tree_fd, const std::string& path, mode_t wanted) {
    auto opened = sys::open_no_symlinks(tree_fd, path.empty() ? "." : path, O_PATH | O_NOFOLLOW);
    struct stat st{};
    if (!opened || ::fstat(opened->get(), &st) != 0) return refused(path, "names what is not there");
    const bool fits = wanted == 0 ? !S_ISLNK(st.st_mode) : (st.st_mode & S_IFMT) == wanted;
    if (!fits) return refused(path, "takes something for what it is not");
    return std::move(*opened);
}

Result<int> StreamApplier::open_for_writing(const std::string& path) {
    if (is_open(path)) return file_.get();
    LX_TRY_AS(const UniqueFd object, open_object(root_, path, S_IFREG));
    file_.reset(::open(by_descriptor(object).c_str(), O_WRONLY | O_CLOEXEC));
    if (!file_) return cannot("Opening", path);
    file_path_ = path;
    return file_.get();
}

Result<> StreamApplier::put_off(const StreamCommand& command) {
    Made made{.kind = command.kind, .path = {}, .target = {}};
    LX_TRY_AS(made.path, command.path(Attribute::path));
    if (command.kind == Kind::make_node) {
        LX_TRY_AS(made.mode, command.number(Attribute::mode));
        LX_TRY_AS(made.device, command.number(Attribute::device));
        const bool harmless = S_ISCHR(static_cast<mode_t>(made.mode)) &&
                              sys::is_harmless_device(major(made.device), minor(made.device));
        if (!harmless)
            return refused(made.path,
                           fmt::format("makes a device {}:{}", major(made.device), minor(made.device)));
    }
    if (command.kind == Kind::symlink) {
        LX_TRY_AS(const auto target, command.bytes(Attribute::path_link));
        if (target.empty() || target.size() > kMaxLinkTarget || target.contains('\0'))
            return refused(made.path, "has a symlink with an unusable target");
        made.target = target;
    }
    put_off_ = std::move(made);
    return {};
}

/// True when it is there now; else errno says why not.
bool StreamApplier::make(const Made& made, const std::string& path, const Place& at) {
    const char* const name = at.name.c_str();
    int result = 0;
    switch (made.kind) {
        case Kind::make_file:
            // Left open: what comes next is its content, mostly.
            file_.reset(
                ::openat(at.directory_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
            file_path_ = path;
            result = file_ ? 0 : -1;
            break;
        case Kind::make_directory:
            result = ::mkdirat(at.directory_fd, name, 0700);
            break;
        case Kind::make_node:
            result = ::mknodat(at.directory_fd, name, S_IFCHR | 0600, made.device);
            break;
        case Kind::make_fifo:
            result = ::mknodat(at.directory_fd, name, S_IFIFO | 0600, 0);
            break;
        case Kind::make_socket:
            result = ::mknodat(at.directory_fd, name, S_IFSOCK | 0600, 0);
            break;
        default:
            result = ::symlinkat(made.target.c_str(), at.directory_fd, name);
    }
    return result == 0;
}

Result<> StreamApplier::finish() {
    if (!put_off_) return {};
    const Made made = *std::exchange(put_off_, std::nullopt);
    LX_TRY_AS(const Place at, place(made.path));
    return make(made, made.path, at) ? Result<>() : cannot("Creating", made.path);
}

/// False: it has to be made where it was said, and moved.
Result<bool> StreamApplier::make_in_place(const StreamCommand& rename) {
    LX_TRY_AS(const std::string from, rename.path(Attribute::path));
    if (!put_off_ || put_off_->path != from) return false;
    LX_TRY_AS(const std::string to, rename.path(Attribute::path_to));
    LX_TRY_AS(const Place at, place(to));
    if (!make(*put_off_, to, at)) return false;
    put_off_.reset();
    return true;
}

Result<> StreamApplier::remove(const StreamCommand& command) {
    LX_TRY_AS(const std::string path, command.path(Attribute::path));
    LX_TRY_AS(const Place at, place(path));
    const int flags = command.kind == Kind::unlink ? 0 : AT_REMOVEDIR;
    if (::unlinkat(at.directory_fd, at.name.c_str(), flags) != 0) return cannot("Removing", path);
    forget();
    return {};
}

Result<> StreamApplier::move(const StreamCommand& command) {
    LX_TRY_AS(const std::string path, command.path(Attribute::path));
    const bool link = command.kind == Kind::link;
    LX_TRY_AS(const std::string other, command.path(link ? Attribute::path_link : Attribute::path_to));
    const std::string& from = link ? other : path;
    const std::string& to = link ? path : other;
    LX_TRY_AS(const Place source, place(from));
    const UniqueFd held = std::move(directory_);  // place() opens another one
    LX_TRY_AS(const Place target, place(to));
    const int result =
        link ? ::linkat(source.directory_fd, source.name.c_str(), target.directory_fd, target.name.c_str(), 0)
             : ::renameat(source.directory_fd, source.name.c_str(), target.directory_fd, target.name.c_str());
    if (result != 0) return cannot(link ? "Linking" : "Renaming", from);
    forget();
    return {};
}

Result<> StreamApplier::change_xattr(const StreamCommand& command) {
    LX_TRY_AS(const std::string path, command.path(Attribute::path));
    LX_TRY_AS(const auto text, command.bytes(Attribute::xattr_name));
    const std::string name(text);
    if (path.empty() || !is_kept_xattr(name) || name.contains('\0')) return {};
    LX_TRY_AS(const UniqueFd object, open_object(root_, path, 0));
    const std::string handle = by_descriptor(object);
    if (command.kind == Kind::remove_xattr) {
        if (::removexattr(handle.c_str(), name.c_str()) != 0 && errno != ENODATA)
            return cannot("removexattr", path);
        return {};
    }
    LX_TRY_AS(const auto value, command.bytes(Attribute::xattr_data));
    if (::setxattr(handle.c_str(), name.c_str(), value.data(), value.size(), 0) != 0)
        return cannot("setxattr", path);
    return {};
}

Result<> StreamApplier::write(const StreamCommand& command) {
    LX_TRY_AS(const std::string path, command.path(Attribute::path));
    LX_TRY_AS(const int file, open_for_writing(path));
    if (command.kind == Kind::truncate) {
        LX_TRY_AS(const off_t size, offset_of(command, Attribute::size, path));
        if (::ftruncate(file, size) != 0) return cannot("Truncating", path);
        return {};
    }
    LX_TRY_AS(const off_t offset, offset_of(command, Attribute::offset, path));
    LX_TRY_AS(const auto data, command.bytes(Attribute::data));
    return write_all_at(file, data, offset, path);
}

Result<> StreamApplier::clone(const StreamCommand& command) {
    LX_TRY_AS(const std::string path, command.path(Attribute::path));
    LX_TRY_AS(const std::string from, command.path(Attribute::clone_path));
    LX_TRY_AS(const Uuid uuid, command.uuid(Attribute::clone_uuid));
    const int tree = trees_(uuid);
    if (tree < 0) return refused(path, "shares data with a volume that is not of this backup");
    LX_TRY_AS(const UniqueFd object, open_object(tree, from, S_IFREG));
    const UniqueFd source(::open(by_descriptor(object).c_str(), O_RDONLY | O_CLOEXEC));
    if (!source) return cannot("Opening", from);
    LX_TRY_AS(const int file, open_for_writing(path));
    file_clone_range range{};
    range.src_fd = source.get();
    LX_TRY_AS(range.src_offset, command.number(Attribute::clone_offset));
    LX_TRY_AS(range.src_length, command.number(Attribute::clone_size));
    LX_TRY_AS(range.dest_offset, command.number(Attribute::offset));
    if (::ioctl(file, FICLONERANGE, &range) != 0) return cannot("Sharing data with", from);
    return {};
}

Result<> StreamApplier::change_mode(const StreamCommand& command, const std::string& path) {
    LX_TRY_AS(const std::uint64_t number, command.number(Attribute::mode));
    const auto mode = static_cast<mode_t>(number & 07777U);
    if (is_open(path)) return ::fchmod(file_.get(), mode) == 0 ? Result<>() : cannot("chmod", path);
    LX_TRY_AS(const UniqueFd object, open_object(root_, path, 0));
    if (::chmod(by_descriptor(object).c_str(), mode) != 0) return cannot("chmod", path);
    return {};
}

Result<> StreamApplier::change_owner(const StreamCommand& command, const std::string& path) {
    constexpr std::uint64_t kNoId = std::numeric_limits<std::uint32_t>::max();
    LX_TRY_AS(const std::uint64_t uid, command.number(Attribute::uid));
    LX_TRY_AS(const std::uint64_t gid, command.number(Attribute::gid));
    if (uid >= kNoId || gid >= kNoId) return refused(path, "has an owner out of range");
    const auto user = static_cast<uid_t>(uid);
    const auto group = static_cast<gid_t>(gid);
    if (is_open(path)) return ::fchown(file_.get(), user, group) == 0 ? Result<>() : cannot("chown", path);
    LX_TRY_AS(const Place at, place(path));
    if (::fchownat(at.directory_fd, at.name.c_str(), user, group, AT_SYMLINK_NOFOLLOW) != 0)
        return cannot("chown", path);
    return {};
}

Result<> StreamApplier::change_times(const StreamCommand& command, const std::string& path) {
    LX_TRY_AS(const StreamTime accessed, command.time(Attribute::accessed));
    LX_TRY_AS(const StreamTime modified, command.time(Attribute::modified));
    const timespec times[2]{{accessed.seconds, accessed.nanoseconds},
                            {modified.seconds, modified.nanoseconds}};
    int result = 0;
    if (is_open(path)) {
        result = ::futimens(file_.get(), times);
    } else if (directory_ && directory_path_ == path) {  // after each object that was made in it
        result = ::utimensat(directory_.get(), "", times, AT_EMPTY_PATH);
    } else {
        LX_TRY_AS(const Place at, place(path));
        result = ::utimensat(at.directory_fd, at.name.c_str(), times, AT_SYMLINK_NOFOLLOW);
    }
    if (result != 0) return cannot("utimensat", path);
    return {};
}

/// What is said of the root is left out.
Result<> StreamApplier::change(const StreamCommand& command) {
    LX_TRY_AS(const std::string path, command.path(Attribute::path));
    if (path.empty()) return {};
    if (command.kind == Kind::chmod) return change_mode(command, path);
    if (command.kind == Kind::chown) return change_owner(command, path);
    return change_times(command, path);
}

Result<> StreamApplier::apply(const StreamCommand& command) {
    if (command.kind == Kind::rename) {
        LX_TRY_AS(const bool made, make_in_place(command));
        if (made) return {};
    }
    LX_TRY(finish());
    switch (command.kind) {
        case Kind::make_file:
        case Kind::make_directory:
        case Kind::make_node:
        case Kind::make_fifo:
        case Kind::make_socket:
        case Kind::symlink:
            return put_off(command);
        case Kind::rename:
        case Kind::link:
            return move(command);
        case Kind::unlink:
        case Kind::remove_directory:
            return remove(command);
        case Kind::set_xattr:
        case Kind::remove_xattr:
            return change_xattr(command);
        case Kind::write:
        case Kind::truncate:
            return write(command);
        case Kind::clone:
            return clone(command);
        case Kind::chmod:
        case Kind::chown:
        case Kind::utimes:
            return change(command);
        case Kind::update_extent:
            return refused("", "was sent without its data");
        case Kind::subvolume:
        case Kind::snapshot:
        case Kind::end:
            break;
    }
    return refused("", "begins or ends in its middle");
}

}  // namespace lxmgr::storage
