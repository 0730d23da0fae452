#include "storage/btrfs/subvolume.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "lxd-daemon/sys/path.h"
#include "storage/tree/list.h"
#include "storage/tree/remove.h"

namespace lxmgr::storage {
namespace {

constexpr int kMaxNesting = 64;
constexpr std::size_t kMaxNested = 10000;

Result<btrfs_ioctl_vol_args_v2> named(const std::string& name) {
    btrfs_ioctl_vol_args_v2 args{};
    if (name.size() > BTRFS_SUBVOL_NAME_MAX) return fail(Status::bad_request, "The name is too long");
    std::memcpy(args.name, name.c_str(), name.size() + 1);
    return args;
}

/// One item of the tree of roots: `child` is at DIRECTORY/NAME of the subvolume that was asked for.
struct RootRef {
    std::uint64_t child = 0, directory = 0;
    std::string name;
};

template <typename T>
T read_as(const char* at) {
    T out;
    std::memcpy(&out, at, sizeof out);
    return out;
}

Result<std::vector<RootRef>> children_of(int fd, std::uint64_t id) {
    std::vector<RootRef> out;
    btrfs_ioctl_search_args args{};
    auto& key = args.key;
    key = {};
    key.tree_id = BTRFS_ROOT_TREE_OBJECTID;
    key.min_objectid = key.max_objectid = id;
    key.min_type = key.max_type = BTRFS_ROOT_REF_KEY;
    key.max_offset = key.max_transid = UINT64_MAX;
    for (;;) {
        key.nr_items = 256;
        if (::ioctl(fd, BTRFS_IOC_TREE_SEARCH, &args) != 0) return fail_errno_at("TREE_SEARCH", fd, "");
        if (key.nr_items == 0) return out;
        std::size_t at = 0;
        for (unsigned i = 0; i < key.nr_items; ++i) {
            const auto header = read_as<btrfs_ioctl_search_header>(args.buf + at);
            at += sizeof header;
            if (header.type == BTRFS_ROOT_REF_KEY && header.objectid == id) {
                const auto item = read_as<btrfs_root_ref>(args.buf + at);
                out.push_back(
                    {header.offset, item.dirid, std::string(args.buf + at + sizeof item, item.name_len)});
            }
            at += header.len;
            key.min_offset = header.offset;
        }
        if (key.min_offset == UINT64_MAX) return out;
        ++key.min_offset;
    }
}

/// "a/b/", or empty for its root.
Result<std::string> path_in(int fd, std::uint64_t subvolume, std::uint64_t directory) {
    btrfs_ioctl_ino_lookup_args args{};
    args.treeid = subvolume;
    args.objectid = directory;
    if (::ioctl(fd, BTRFS_IOC_INO_LOOKUP, &args) != 0) return fail_errno_at("INO_LOOKUP", fd, "");
    return std::string(args.name);
}

Result<> find_nested(int fd, std::uint64_t id, const std::string& prefix, int depth,
                     std::vector<NestedSubvolume>& out) {
    if (depth > kMaxNesting || out.size() > kMaxNested)
        return fail(Status::bad_request, "The volume has too many subvolumes in it");
    LX_TRY_AS(const auto children, children_of(fd, id));
    for (const auto& child : children) {
        LX_TRY_AS(const std::string directory, path_in(fd, id, child.directory));
        const std::string path = prefix + directory + child.name;
        out.push_back({path});
        LX_TRY(find_nested(fd, child.child, path + "/", depth + 1, out));
    }
    return {};
}

struct Parted {
    std::string directory, name;
};
Parted parted(const std::string& path) {
    const auto slash = path.rfind('/');
    if (slash == std::string::npos) return {".", path};
    return {path.substr(0, slash), path.substr(slash + 1)};
}

Result<UniqueFd> open_directory(int root_fd, const std::string& path) {
    return sys::open_no_symlinks(root_fd, path, O_RDONLY | O_DIRECTORY);
}

Result<> set_writable(int fd) {
    std::uint64_t flags = 0;
    if (::ioctl(fd, BTRFS_IOC_SUBVOL_GETFLAGS, &flags) != 0) return {};  // not a subvolume's root
    if ((flags & BTRFS_SUBVOL_RDONLY) == 0) return {};
    flags &= ~std::uint64_t{BTRFS_SUBVOL_RDONLY};
    if (::ioctl(fd, BTRFS_IOC_SUBVOL_SETFLAGS, &flags) != 0) return fail_errno_at("SUBVOL_SETFLAGS", fd, "");
    return {};
}

Result<> destroy(int parent_fd, const std::string& name) {
    btrfs_ioctl_vol_args args{};
    if (name.size() > BTRFS_PATH_NAME_MAX) return fail(Status::bad_request, "The name is too long");
    std::memcpy(args.name, name.c_str(), name.size() + 1);
    if (::ioctl(parent_fd, BTRFS_IOC_SNAP_DESTROY, &args) == 0 || errno == ENOENT) return {};
    return fail_errno_at("Removing subvolume", parent_fd, name);
}

Result<> remove_subvolume(int parent_fd, const std::string& name, int fd) {
    LX_TRY_AS(const auto nested, nested_subvolumes(fd));
    for (const auto& one : nested) {
        LX_TRY_AS(const UniqueFd opened, open_directory(fd, one.path));
        LX_TRY(set_writable(opened.get()));  // nothing can be taken out of one that is read-only
    }
    for (auto at = nested.rbegin(); at != nested.rend(); ++at) {
        const auto [directory, last] = parted(at->path);
        LX_TRY_AS(const UniqueFd parent, open_directory(fd, directory));
        LX_TRY(destroy(parent.get(), last));
    }
    return destroy(parent_fd, name);
}

class SubvolumeMaker final : public DirectoryMaker {
public:
    [[nodiscard]] Result<> create(int parent_fd, const std::string& name) const override {
        LX_TRY(create_subvolume(parent_fd, name));
        if (::fchmodat(parent_fd, name.c_str(), 0100, 0) != 0) return fail_errno_at("chmod", parent_fd, name);
        return {};
    }
    [[nodiscard]] Result<std::vector<std::string>> remove(int parent_fd, const std::string& name,
                                                          const Interrupted& interrupted) const override {
        const UniqueFd fd(::openat(parent_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!fd || !is_subvolume(fd.get())) return remove_tree_at(parent_fd, name, interrupted);
        LX_TRY(remove_subvolume(parent_fd, name, fd.get()));
        return std::vector<std::string>();
    }
    [[nodiscard]] bool removes_at_once() const override { return true; }
};

}  // namespace

bool is_subvolume(int fd) {
    struct stat st{};
    return ::fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && st.st_ino == BTRFS_FIRST_FREE_OBJECTID;
}

Result<> create_subvolume(int parent_fd, const std::string& name) {
    LX_TRY_AS(auto args, named(name));
    if (::ioctl(parent_fd, BTRFS_IOC_SUBVOL_CREATE_V2, &args) != 0)
        return fail_errno_at("Creating subvolume", parent_fd, name);
    return {};
}

Result<> snapshot_subvolume(int source_fd, int parent_fd, const std::string& name) {
    LX_TRY_AS(auto args, named(name));
    args.fd = source_fd;
    if (::ioctl(parent_fd, BTRFS_IOC_SNAP_CREATE_V2, &args) == 0) return {};
    const int code = errno;
    auto error = fail_errno_at("Creating snapshot", parent_fd, name);
    if (code == EEXIST) error.error().status = Status::conflict;
    return error;
}

Result<std::uint64_t> subvolume_id(int fd) {
    btrfs_ioctl_ino_lookup_args args{};
    args.objectid = BTRFS_FIRST_FREE_OBJECTID;
    if (::ioctl(fd, BTRFS_IOC_INO_LOOKUP, &args) != 0) return fail_errno_at("INO_LOOKUP", fd, "");
    return args.treeid;
}

Result<> set_read_only(int fd) {
    std::uint64_t flags = BTRFS_SUBVOL_RDONLY;
    if (::ioctl(fd, BTRFS_IOC_SUBVOL_SETFLAGS, &flags) != 0) return fail_errno_at("SUBVOL_SETFLAGS", fd, "");
    return {};
}

Result<std::vector<NestedSubvolume>> nested_subvolumes(int fd) {
    std::vector<NestedSubvolume> out;
    LX_TRY_AS(const auto id, subvolume_id(fd));
    LX_TRY(find_nested(fd, id, "", 1, out));
    return out;
}

Result<> snapshot_nested(int source_fd, int snapshot_fd) {
    LX_TRY_AS(const auto nested, nested_subvolumes(source_fd));
    for (const auto& one : nested) {
        LX_TRY_AS(const UniqueFd from, open_directory(source_fd, one.path));
        const auto [directory, name] = parted(one.path);
        LX_TRY_AS(const UniqueFd parent, open_directory(snapshot_fd, directory));
        if (::unlinkat(parent.get(), name.c_str(), AT_REMOVEDIR) != 0)
            return fail_errno_at("Removing", parent.get(), name);
        LX_TRY(snapshot_subvolume(from.get(), parent.get(), name));
    }
    return {};
}

const DirectoryMaker& subvolume_maker() {
    static const SubvolumeMaker maker;
    return maker;
}

}  // namespace lxmgr::storage
