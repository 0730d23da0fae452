#include "images/squashfs_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqfs/dir.h>
#include <sqfs/error.h>
#include <sqfs/inode.h>
#include <sqfs/xattr.h>
#include <sys/stat.h>

#include <algorithm>
#include <string_view>

#include "images/squashfs_parts.h"
#include "images/squashfs_tables.h"

namespace lxmgr::images {
namespace {

constexpr std::uint32_t kNone = 0xffffffff;
constexpr std::uint32_t kMaxFragments = 4u
                                        << 20;  // a table of 64 MiB; each stands for up to 1 MiB of content
constexpr std::uint32_t kMaxXattrs = 1024;      // of one entry
constexpr std::uint64_t kPendingBytes = 256;    // memory of a directory that waits for its turn, roughly

bool is_directory(const sqfs_inode_generic_t& inode) {
    return inode.base.type == SQFS_INODE_DIR || inode.base.type == SQFS_INODE_EXT_DIR;
}

Result<EntryType> squashfs_type_of(const sqfs_inode_generic_t& inode, std::string_view path) {
    switch (inode.base.type) {
        case SQFS_INODE_DIR:
        case SQFS_INODE_EXT_DIR:
            return EntryType::directory;
        case SQFS_INODE_FILE:
        case SQFS_INODE_EXT_FILE:
            return EntryType::file;
        case SQFS_INODE_SLINK:
        case SQFS_INODE_EXT_SLINK:
            return EntryType::symlink;
        case SQFS_INODE_BDEV:
        case SQFS_INODE_EXT_BDEV:
            return EntryType::block_device;
        case SQFS_INODE_CDEV:
        case SQFS_INODE_EXT_CDEV:
            return EntryType::char_device;
        case SQFS_INODE_FIFO:
        case SQFS_INODE_EXT_FIFO:
            return EntryType::fifo;
        case SQFS_INODE_SOCKET:
        case SQFS_INODE_EXT_SOCKET:
            return EntryType::socket;
        default:
            return refuse(path, "has an unknown type");
    }
}

std::uint32_t link_count(const sqfs_inode_generic_t& inode) {
    switch (inode.base.type) {
        case SQFS_INODE_EXT_FILE:
            return inode.data.file_ext.nlink;
        case SQFS_INODE_SLINK:
        case SQFS_INODE_EXT_SLINK:
            return inode.data.slink.nlink;
        case SQFS_INODE_FIFO:
        case SQFS_INODE_EXT_FIFO:
            return inode.data.ipc.nlink;
        default:
            return 1;  // a basic file inode has no count: it has one name
    }
}

void set_device(const sqfs_inode_generic_t& inode, Entry& entry) {
    const std::uint32_t number = inode.data.dev.devno;  // in both forms; new_encode_dev() of linux/kdev_t.h
    entry.device_major = (number & 0xfff00) >> 8;
    entry.device_minor = (number & 0xff) | ((number >> 12) & 0xfff00);
}

std::string symlink_target(const sqfs_inode_generic_t& inode) {
    const auto* text = reinterpret_cast<const char*>(inode.extra);
    return std::string(text, std::find(text, text + inode.data.slink.target_size, '\0'));
}

}  // namespace

SquashfsReader::Parts::Parts() = default;
SquashfsReader::Parts::~Parts() = default;

void FreeSquashfs::operator()(void* memory) const { sqfs_free(memory); }

SquashfsReader::SquashfsReader(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
SquashfsReader::SquashfsReader(SquashfsReader&&) noexcept = default;
SquashfsReader& SquashfsReader::operator=(SquashfsReader&&) noexcept = default;
SquashfsReader::~SquashfsReader() = default;

std::uint64_t SquashfsReader::inode_count() const { return parts_->super.inode_count; }

Result<SquashfsReader> SquashfsReader::open(const std::string& path, Budget& budget) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return fail_errno("Opening", path);
    struct stat st{};
    if (::fstat(fd.get(), &st) != 0) return fail_errno("fstat", path);
    auto parts = std::make_unique<Parts>();
    parts->budget = &budget;
    // libsquashfs wants a name; this one is the file just opened.
    parts->file.reset(
        sqfs_open_file(fmt::format("/proc/self/fd/{}", fd.get()).c_str(), SQFS_FILE_OPEN_READ_ONLY));
    if (!parts->file) return fail_errno("Opening", path);
    if (const int rc = sqfs_super_read(&parts->super, parts->file.get()); rc != 0) {
        return squashfs_error("in its superblock", rc);
    }
    if (parts->super.bytes_used > static_cast<std::uint64_t>(st.st_size)) {
        return fail(Status::bad_request, fmt::format("The squashfs image is cut off: {} of {} bytes",
                                                     st.st_size, parts->super.bytes_used));
    }
    if (parts->super.fragment_entry_count > kMaxFragments) {
        return fail(Status::bad_request, "The squashfs image has too many fragments");
    }
    LX_TRY_AS(parts->decompressor, open_decompressor(parts->super));
    SquashfsReader reader(std::move(parts));
    LX_TRY(reader.load_tables());
    return reader;
}

Result<> SquashfsReader::load_tables() {
    Parts& p = *parts_;
    p.ids.reset(sqfs_id_table_create(0));
    p.xattrs.reset(sqfs_xattr_reader_create(0));
    LX_TRY_AS(auto tables, SquashfsTables::open(p.super, *p.file, *p.decompressor));
    p.tables = std::make_unique<SquashfsTables>(std::move(tables));
    if (!p.ids || !p.xattrs) return squashfs_error("opening it", SQFS_ERROR_ALLOC);
    int rc = sqfs_id_table_read(p.ids.get(), p.file.get(), &p.super, p.decompressor.get());
    if (rc != 0) return squashfs_error("in its table of owners", rc);
    if (p.tables->has_xattrs())
        rc = sqfs_xattr_reader_load(p.xattrs.get(), &p.super, p.file.get(), p.decompressor.get());
    if (rc != 0) return squashfs_error("in its extended attributes", rc);
    return {};
}

Result<> SquashfsReader::walk(const Visitor& visit) {
    LX_TRY_AS(SquashfsInode root, parts_->tables->inode(parts_->super.root_inode_ref, "at its root"));
    LX_TRY_AS(Entry entry, convert("", *root));
    if (!is_directory(*root)) return squashfs_error("at its root", SQFS_ERROR_CORRUPTED);
    LX_TRY(visit(std::move(entry), nullptr));
    std::vector<Pending> pending;
    pending.push_back({"", std::move(root)});
    while (!pending.empty()) {
        Pending next = std::move(pending.back());
        pending.pop_back();
        const std::size_t first_below = pending.size();
        LX_TRY(walk_directory(std::move(next), pending, visit));
        // Taken from the back: reversed, so that the order is that of the image, where neighbours share
        // fragments.
        std::reverse(pending.begin() + static_cast<std::ptrdiff_t>(first_below), pending.end());
    }
    return {};
}

Result<> SquashfsReader::walk_directory(Pending directory, std::vector<Pending>& below,
                                        const Visitor& visit) {
    const std::string doing =
        fmt::format("in directory {}", shown(directory.path.empty() ? "/" : directory.path));
    // A directory has one place in a tree; a loop would never end.
    if (!parts_->seen_directories.emplace(directory.inode->base.inode_number).second) {
        return refuse(directory.path, "is a directory that is in the image twice");
    }
    SquashfsTables& tables = *parts_->tables;
    sqfs_readdir_state_t place{};
    if (const int rc = sqfs_readdir_state_init(&place, &parts_->super, directory.inode.get()); rc != 0)
        return squashfs_error(doing, rc);
    for (;;) {
        LX_TRY_AS(const auto found, tables.next_name(place, doing));
        if (!found) return {};
        const std::string_view name = found->name;
        if (name.empty() || name == "." || name == ".." || name.contains('/')) {
            return refuse(directory.path, fmt::format("holds an entry with the name {}", shown(name)));
        }
        LX_TRY_AS(SquashfsInode inode, tables.inode(found->inode, doing));
        LX_TRY_AS(std::string path,
                  entry_path(directory.path.empty() ? name : fmt::format("{}/{}", directory.path, name)));
        LX_TRY_AS(Entry entry, convert(path, *inode));
        if (!is_directory(*inode)) {
            LX_TRY(visit(std::move(entry), std::move(inode)));
            continue;
        }
        LX_TRY(visit(std::move(entry), nullptr));
        LX_TRY(parts_->budget->take_memory(path.size() + kPendingBytes));
        below.push_back({std::move(path), std::move(inode)});
    }
}

Result<Entry> SquashfsReader::convert(std::string path, const sqfs_inode_generic_t& inode) {
    Entry entry;
    entry.path = std::move(path);
    LX_TRY_AS(entry.type, squashfs_type_of(inode, entry.path));
    entry.mode = inode.base.mode & 07777;
    entry.mtime = {static_cast<time_t>(inode.base.mod_time), 0};
    sqfs_u32 uid = 0, gid = 0;
    if (sqfs_id_table_index_to_id(parts_->ids.get(), inode.base.uid_idx, &uid) != 0 ||
        sqfs_id_table_index_to_id(parts_->ids.get(), inode.base.gid_idx, &gid) != 0) {
        return refuse(entry.path, "has an owner that is not in the image's table");
    }
    entry.uid = uid;
    entry.gid = gid;
    if (entry.type == EntryType::file) {
        sqfs_u64 size_bytes = 0;
        sqfs_inode_get_file_size(&inode, &size_bytes);
        entry.size_bytes = size_bytes;
    }
    if (entry.type == EntryType::symlink) entry.link_target = symlink_target(inode);
    if (entry.type == EntryType::char_device || entry.type == EntryType::block_device)
        set_device(inode, entry);
    LX_TRY(read_xattrs(inode, entry));
    if (!is_directory(inode) && link_count(inode) > 1) {
        LX_TRY(parts_->budget->take_memory(entry.path.size() + kPendingBytes));
        const auto [first, is_new] = parts_->linked.emplace(inode.base.inode_number, entry.path);
        if (!is_new) {
            entry.type = EntryType::hard_link;
            entry.link_target = first->second;
        }
    }
    return entry;
}

Result<> SquashfsReader::read_xattrs(const sqfs_inode_generic_t& inode, Entry& entry) {
    sqfs_u32 index = kNone;
    if (!parts_->tables->has_xattrs() || sqfs_inode_get_xattr_index(&inode, &index) != 0 || index == kNone)
        return {};
    const std::string doing = fmt::format("in the extended attributes of {}", shown(entry.path));
    sqfs_xattr_id_t description{};
    if (const int rc = sqfs_xattr_reader_get_desc(parts_->xattrs.get(), index, &description); rc != 0)
        return squashfs_error(doing, rc);
    if (description.count > kMaxXattrs || description.size > kMaxXattrs * kMaxXattrBytes) {
        return refuse(entry.path, "has too many extended attributes");
    }
    LX_TRY_AS(auto all, parts_->tables->xattrs(description, doing));
    std::erase_if(all, [](const Xattr& xattr) { return !is_image_xattr(xattr.name); });
    entry.xattrs = std::move(all);
    return {};
}

}  // namespace lxmgr::images
