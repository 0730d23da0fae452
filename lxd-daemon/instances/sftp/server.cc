#include "lxd-daemon/instances/sftp/server.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "lxd-daemon/instances/root_access.h"
#include "lxd-daemon/instances/sftp/replies.h"
#include "lxd-daemon/sys/path.h"

namespace lxmgr::instances::sftp {
namespace {

constexpr std::uint32_t kRead = 1, kWrite = 2, kAppend = 4, kCreate = 8, kTruncate = 16, kExclusive = 32;
constexpr std::size_t kMaxHandles = 256;
constexpr std::uint32_t kMaxRead = 255 * 1024;
constexpr std::size_t kNamesInReply = 100;

int access_of(std::uint32_t flags) {
    if ((flags & kRead) != 0 && (flags & kWrite) != 0) return O_RDWR;
    return (flags & kWrite) != 0 ? O_WRONLY : O_RDONLY;
}

}  // namespace

std::string Server::handle(std::string_view packet) {
    PacketReader in(packet);
    const auto type = static_cast<Type>(in.u8());
    const std::uint32_t id = in.u32();  // the version, for the first packet
    if (!in.ok()) return "";
    if (type == Type::init) return version_reply();
    auto reply = dispatch(type, id, in);
    if (!in.ok()) return status_reply(id, Code::bad_message, "The packet is cut off");
    if (!reply) return error_reply(id, reply.error());
    return *std::move(reply);
}

Server::Reply Server::dispatch(Type type, std::uint32_t id, PacketReader& in) {
    switch (type) {
        case Type::open:
            return open(id, in);
        case Type::lstat:
            return stat(id, in, false);
        case Type::stat:
            return stat(id, in, true);
        case Type::setstat:
            return set_stat(id, in);
        case Type::opendir:
            return open_directory(id, in);
        case Type::remove:
            return remove(id, in, false);
        case Type::rmdir:
            return remove(id, in, true);
        case Type::mkdir:
            return make_directory(id, in);
        case Type::realpath:
            return real_path(id, in);
        case Type::rename:
            return rename(id, in, false);
        case Type::readlink:
            return read_link(id, in);
        case Type::symlink:
            return symlink(id, in);
        case Type::extended:
            return extended(id, in);
        default:
            return dispatch_handle(type, id, in);
    }
}

Server::Reply Server::dispatch_handle(Type type, std::uint32_t id, PacketReader& in) {
    switch (type) {
        case Type::close:
            return close(id, in);
        case Type::read:
            return read(id, in);
        case Type::write:
            return write(id, in);
        case Type::fstat:
            return stat_handle(id, in);
        case Type::fsetstat:
            return set_stat_handle(id, in);
        case Type::readdir:
            return read_directory(id, in);
        default:
            return status_reply(id, Code::op_unsupported, "This request is not known");
    }
}

Result<std::string> Server::path_from(PacketReader& in) const {
    std::string path(in.text());
    if (path.contains('\0')) return fail(Status::bad_request, "The path holds a zero byte");
    return path.starts_with('/') ? path : "/" + path;
}

Result<UniqueFd> Server::open_regular(const std::string& path, std::uint32_t flags,
                                      const Attributes& attributes) {
    const bool create = (flags & kCreate) != 0;
    const bool exclusive = create && (flags & kExclusive) != 0;
    if (!exclusive) {
        auto existing = sys::open_in_root(root_.fd.get(), path, O_PATH);
        if (existing) {
            LX_TRY_AS(const struct ::stat st, stat_of(existing->get(), path));
            // Go's clients open a path before they ask what it is.
            if (S_ISDIR(st.st_mode) && access_of(flags) == O_RDONLY)
                return reopen_allowed(root_, existing->get(), O_RDONLY | O_DIRECTORY, path);
            if (!S_ISREG(st.st_mode))
                return fail(Status::bad_request, fmt::format("'{}' is not a regular file", path));
            const bool truncate = (flags & kTruncate) != 0 && (flags & kWrite) != 0;
            return reopen_allowed(root_, existing->get(),
                                  access_of(flags) | O_NONBLOCK | (truncate ? O_TRUNC : 0), path);
        }
        if (existing.error().status != Status::not_found || !create)
            return reword(std::move(existing).error());
    }
    LX_TRY(split_last(path));
    const Ownership ownership{attributes.uid, attributes.gid, attributes.mode.value_or(0644) & kModeBits};
    LX_TRY_AS(UniqueFd made, create_file(root_, path, ownership, exclusive ? O_EXCL : 0));
    LX_TRY(apply_ownership(root_, made.get(), ownership, path));
    return reopen(made.get(), access_of(flags), path);
}

Result<std::string> Server::keep(Handle handle, std::uint32_t id) {
    if (handles_.size() >= kMaxHandles) return fail(Status::bad_request, "Too many files are open");
    const std::string name = std::to_string(next_handle_++);
    handles_.emplace(name, std::move(handle));
    PacketWriter out(Type::handle, id);
    out.text(name);
    return std::move(out).finish();
}

Result<Server::Handle*> Server::find(PacketReader& in) {
    const auto found = handles_.find(in.text());
    if (found == handles_.end()) return fail(Status::bad_request, "There is no such handle");
    return &found->second;
}

Server::Reply Server::open(std::uint32_t id, PacketReader& in) {
    LX_TRY_AS(std::string path, path_from(in));
    const std::uint32_t flags = in.u32();
    const Attributes attributes = in.attributes();
    if (!in.ok()) return std::string();
    LX_TRY_AS(UniqueFd fd, open_regular(path, flags, attributes));
    return keep({.fd = std::move(fd),
                 .append = (flags & kAppend) != 0,
                 .is_directory = false,
                 .entries = {},
                 .path = std::move(path)},
                id);
}

Server::Reply Server::open_directory(std::uint32_t id, PacketReader& in) {
    LX_TRY_AS(std::string path, path_from(in));
    auto dir = sys::open_in_root(root_.fd.get(), path, O_RDONLY | O_DIRECTORY);
    if (!dir) return reword(std::move(dir).error());
    LX_TRY(require_access(root_, dir->get(), instances::read, path));
    Handle handle{.fd = *std::move(dir), .append = false, .is_directory = true, .entries = {}, .path = path};
    LX_TRY_AS(handle.entries, names_in(handle.fd.get(), path));
    return keep(std::move(handle), id);
}

Server::Reply Server::close(std::uint32_t id, PacketReader& in) {
    const auto found = handles_.find(in.text());
    if (found == handles_.end()) return fail(Status::bad_request, "There is no such handle");
    handles_.erase(found);
    return ok_reply(id);
}

Server::Reply Server::read(std::uint32_t id, PacketReader& in) {
    LX_TRY_AS(const Handle* handle, find(in));
    const auto offset = static_cast<off_t>(in.u64());
    std::string data(std::min(in.u32(), kMaxRead), '\0');
    const ssize_t n = ::pread(handle->fd.get(), data.data(), data.size(), offset);
    if (n < 0) return fail_errno("Reading", handle->path);
    if (n == 0) return status_reply(id, Code::eof, "End of file");
    PacketWriter out(Type::data, id);
    out.text(std::string_view(data).substr(0, static_cast<std::size_t>(n)));
    return std::move(out).finish();
}

Server::Reply Server::write(std::uint32_t id, PacketReader& in) {
    LX_TRY_AS(const Handle* handle, find(in));
    auto offset = static_cast<off_t>(in.u64());
    std::string_view data = in.text();
    if (handle->append) offset = ::lseek(handle->fd.get(), 0, SEEK_END);
    while (!data.empty()) {
        const ssize_t n = ::pwrite(handle->fd.get(), data.data(), data.size(), offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno("Writing", handle->path);
        offset += n;
        data.remove_prefix(static_cast<std::size_t>(n));
    }
    return ok_reply(id);
}

std::string Server::attributes_of(const struct ::stat& st) const {
    return encode_attributes(st, instance_id(root_.idmap.uids, st.st_uid),
                             instance_id(root_.idmap.gids, st.st_gid));
}

Server::Reply Server::stat(std::uint32_t id, PacketReader& in, bool follow) {
    LX_TRY_AS(const std::string path, path_from(in));
    auto object = sys::open_in_root(root_.fd.get(), path, O_PATH | (follow ? 0 : O_NOFOLLOW));
    if (!object) return reword(std::move(object).error());
    LX_TRY_AS(const struct ::stat st, stat_of(object->get(), path));
    PacketWriter out(Type::attrs, id);
    out.raw(attributes_of(st));
    return std::move(out).finish();
}

Server::Reply Server::stat_handle(std::uint32_t id, PacketReader& in) {
    LX_TRY_AS(const Handle* handle, find(in));
    LX_TRY_AS(const struct ::stat st, stat_of(handle->fd.get(), handle->path));
    PacketWriter out(Type::attrs, id);
    out.raw(attributes_of(st));
    return std::move(out).finish();
}

/// @param fd O_PATH or opened: all goes through its entry in /proc, which works for both
Result<> Server::apply(int fd, const Attributes& attributes, const std::string& path) {
    LX_TRY(require_access(root_, fd, change, path));
    const std::string entry = fmt::format("/proc/self/fd/{}", fd);
    if (attributes.size && ::truncate(entry.c_str(), static_cast<off_t>(*attributes.size)) != 0)
        return fail_errno("Changing the size of", path);
    if (attributes.uid && attributes.gid &&
        ::chown(entry.c_str(), host_uid(root_, *attributes.uid), host_gid(root_, *attributes.gid)) != 0)
        return fail_errno("Changing the owner of", path);
    if (attributes.mode && ::chmod(entry.c_str(), *attributes.mode & kModeBits) != 0)
        return fail_errno("Changing the mode of", path);
    if (!attributes.modified || !attributes.accessed) return {};
    const timespec times[] = {{static_cast<time_t>(*attributes.accessed), 0},
                              {static_cast<time_t>(*attributes.modified), 0}};
    if (::utimensat(AT_FDCWD, entry.c_str(), times, 0) != 0) return fail_errno("Changing the times of", path);
    return {};
}

Server::Reply Server::set_stat(std::uint32_t id, PacketReader& in) {
    LX_TRY_AS(const std::string path, path_from(in));
    const Attributes attributes = in.attributes();
    if (!in.ok()) return std::string();
    auto object = sys::open_in_root(root_.fd.get(), path, O_PATH);
    if (!object) return reword(std::move(object).error());
    LX_TRY_AS(const struct ::stat st, stat_of(object->get(), path));
    if (attributes.size && !S_ISREG(st.st_mode))
        return fail(Status::bad_request, fmt::format("'{}' is not a regular file", path));
    LX_TRY(apply(object->get(), attributes, path));
    return ok_reply(id);
}

Server::Reply Server::set_stat_handle(std::uint32_t id, PacketReader& in) {
    LX_TRY_AS(const Handle* handle, find(in));
    const Attributes attributes = in.attributes();
    if (!in.ok()) return std::string();
    LX_TRY(apply(handle->fd.get(), attributes, handle->path));
    return ok_reply(id);
}

Server::Reply Server::read_directory(std::uint32_t id, PacketReader& in) {
    LX_TRY_AS(Handle * handle, find(in));
    if (!handle->is_directory) return fail(Status::bad_request, "This handle is no directory");
    std::string names;
    std::uint32_t count = 0;
    while (!handle->entries.empty() && count < kNamesInReply) {
        const std::string name = std::move(handle->entries.back());
        handle->entries.pop_back();
        struct ::stat st{};
        if (::fstatat(handle->fd.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;  // gone meanwhile
        names += encode_name(name, st, instance_id(root_.idmap.uids, st.st_uid),
                             instance_id(root_.idmap.gids, st.st_gid));
        ++count;
    }
    if (count == 0) return status_reply(id, Code::eof, "No more entries");
    PacketWriter out(Type::name, id);
    out.u32(count);
    out.raw(names);
    return std::move(out).finish();
}

}  // namespace lxmgr::instances::sftp
