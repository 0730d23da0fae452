#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <climits>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/root_access.h"
#include "lxd-daemon/instances/sftp/replies.h"
#include "lxd-daemon/instances/sftp/server.h"
#include "lxd-daemon/sys/path.h"

/// The requests of the SFTP server that name paths and open nothing.
namespace lxmgr::instances::sftp {
namespace {

/// "/a/./b/../c" is "/a/c": by its letters only, as clients expect of a path that need not exist.
std::string normalised(const std::string& path) {
    std::vector<std::string> parts;
    for (auto& part : split(path, '/')) {
        if (part.empty() || part == ".") continue;
        if (part != "..") {
            parts.push_back(std::move(part));
        } else if (!parts.empty()) {
            parts.pop_back();
        }
    }
    std::string out;
    for (const auto& part : parts) out += "/" + part;
    return out.empty() ? "/" : out;
}

struct Place {
    UniqueFd parent;
    std::string name;
};

Result<Place> path_place_of(const InstanceRoot& root, const std::string& path) {
    LX_TRY_AS(auto parts, split_last(path));
    LX_TRY_AS(UniqueFd parent, open_parent(root, parts.first));
    return Place{std::move(parent), std::move(parts.second)};
}

}  // namespace

Server::Reply Server::remove(std::uint32_t id, PacketReader& in, bool directory) {
    LX_TRY_AS(const std::string path, path_from(in));
    LX_TRY_AS(const Place place, path_place_of(root_, path));
    LX_TRY(refuse_mount_point(place.parent.get(), place.name, path));
    if (::unlinkat(place.parent.get(), place.name.c_str(), directory ? AT_REMOVEDIR : 0) != 0)
        return fail_errno("Removing", path);
    return ok_reply(id);
}

Server::Reply Server::make_directory(std::uint32_t id, PacketReader& in) {
    LX_TRY_AS(const std::string path, path_from(in));
    const Attributes attributes = in.attributes();
    if (!in.ok()) return std::string();
    LX_TRY_AS(const Place place, path_place_of(root_, path));
    const Ownership ownership{attributes.uid, attributes.gid, attributes.mode.value_or(0755) & kModeBits};
    LX_TRY(as_owner(root_, ownership, [&]() -> Result<> {
        if (::mkdirat(place.parent.get(), place.name.c_str(), 0700) != 0)
            return fail_errno("Creating directory", path);
        return {};
    }));
    LX_TRY_AS(const UniqueFd handle, open_object(root_, path));
    LX_TRY_AS(const UniqueFd made, reopen(handle.get(), O_RDONLY | O_DIRECTORY, path));
    LX_TRY(apply_ownership(root_, made.get(), ownership, path));
    return ok_reply(id);
}

Server::Reply Server::real_path(std::uint32_t id, PacketReader& in) {
    LX_TRY_AS(const std::string path, path_from(in));
    PacketWriter out(Type::name, id);
    out.u32(1);
    const std::string real = normalised(path);
    out.text(real);
    out.text(real);
    out.u32(0);  // no attributes
    return std::move(out).finish();
}

Server::Reply Server::rename(std::uint32_t id, PacketReader& in, bool replace) {
    LX_TRY_AS(const std::string from, path_from(in));
    LX_TRY_AS(const std::string to, path_from(in));
    LX_TRY_AS(const Place source, path_place_of(root_, from));
    LX_TRY_AS(const Place target, path_place_of(root_, to));
    LX_TRY(refuse_mount_point(source.parent.get(), source.name, from));
    LX_TRY(refuse_mount_point(target.parent.get(), target.name, to));
    const unsigned flags = replace ? 0 : RENAME_NOREPLACE;
    return as_owner(root_, {}, [&]() -> Reply {
        if (::renameat2(source.parent.get(), source.name.c_str(), target.parent.get(), target.name.c_str(),
                        flags) != 0)
            return fail_errno("Renaming", from);
        return ok_reply(id);
    });
}

Server::Reply Server::hard_link(std::uint32_t id, PacketReader& in) {
    LX_TRY_AS(const std::string from, path_from(in));
    LX_TRY_AS(const std::string to, path_from(in));
    LX_TRY_AS(const Place source, path_place_of(root_, from));
    LX_TRY_AS(const Place target, path_place_of(root_, to));
    return as_owner(root_, {}, [&]() -> Reply {
        if (::linkat(source.parent.get(), source.name.c_str(), target.parent.get(), target.name.c_str(), 0) !=
            0)
            return fail_errno("Linking", from);
        return ok_reply(id);
    });
}

Server::Reply Server::read_link(std::uint32_t id, PacketReader& in) {
    LX_TRY_AS(const std::string path, path_from(in));
    LX_TRY_AS(const UniqueFd object, open_object(root_, path));
    LX_TRY_AS(const struct ::stat st, stat_of(object.get(), path));
    if (!S_ISLNK(st.st_mode)) return fail(Status::bad_request, fmt::format("'{}' is no symlink", path));
    LX_TRY_AS(const std::string target, link_of(object.get(), path));
    PacketWriter out(Type::name, id);
    out.u32(1);
    out.text(target);
    out.text(target);
    out.u32(0);
    return std::move(out).finish();
}

/// The target comes first, unlike in the draft: as OpenSSH has it, and all clients with it (its
/// PROTOCOL, 4.1).
Server::Reply Server::symlink(std::uint32_t id, PacketReader& in) {
    const std::string target(in.text());
    LX_TRY_AS(const std::string path, path_from(in));
    if (!in.ok()) return std::string();
    if (target.empty() || target.size() >= PATH_MAX || target.contains('\0'))
        return fail(Status::bad_request, "The target of the symlink is empty, too long or holds a zero byte");
    LX_TRY_AS(const Place place, path_place_of(root_, path));
    LX_TRY(as_owner(root_, {}, [&]() -> Result<> {
        if (::symlinkat(target.c_str(), place.parent.get(), place.name.c_str()) != 0)
            return fail_errno("Creating symlink", path);
        return {};
    }));
    return ok_reply(id);
}

Server::Reply Server::extended(std::uint32_t id, PacketReader& in) {
    const std::string_view name = in.text();
    if (name == kPosixRename) return rename(id, in, true);
    if (name == kHardLink) return hard_link(id, in);
    if (name == kStatFileSystem) return stat_file_system(id, in);
    if (name == kSync) {
        LX_TRY_AS(const Handle* handle, find(in));
        if (::fsync(handle->fd.get()) != 0) return fail_errno("Syncing", handle->path);
        return ok_reply(id);
    }
    return status_reply(id, Code::op_unsupported, "This extension is not known");
}

Server::Reply Server::stat_file_system(std::uint32_t id, PacketReader& in) {
    LX_TRY_AS(const std::string path, path_from(in));
    auto object = sys::open_in_root(root_.fd.get(), path, O_PATH);
    if (!object) return reword(std::move(object).error());
    struct statvfs fs{};
    if (::fstatvfs(object->get(), &fs) != 0) return fail_errno("statvfs", path);
    PacketWriter out(Type::extended_reply, id);
    for (const std::uint64_t value :
         {fs.f_bsize, fs.f_frsize, fs.f_blocks, fs.f_bfree, fs.f_bavail, fs.f_files, fs.f_ffree, fs.f_favail,
          fs.f_fsid, fs.f_flag & 3, fs.f_namemax}) {
        out.u64(value);
    }
    return std::move(out).finish();
}

}  // namespace lxmgr::instances::sftp
