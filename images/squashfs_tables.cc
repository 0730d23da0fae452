#include "images/squashfs_tables.h"

#include <endian.h>
#include <fmt/format.h>
#include <sqfs/dir.h>
#include <sqfs/error.h>
#include <sqfs/inode.h>

#include <algorithm>
#include <array>

namespace lxmgr::images {
namespace {

constexpr std::uint64_t kMaxBlocks = std::uint64_t{4} << 20;  // of a file: 16 MiB of their sizes
constexpr std::uint32_t kMaxTargetBytes = 4096;               // PATH_MAX
constexpr std::uint32_t kMaxIndexName = 256;                  // SQUASHFS_NAME_LEN
constexpr unsigned kReferenceBits = 16;                       // below: the place inside the unpacked block
constexpr std::uint64_t kReferenceMask = 0xffff;

/// Their heads, as they are on the disk: sqfs_dir_index_t and sqfs_xattr_entry_t without the name.
struct IndexHead {
    std::uint32_t index, start_block, name_bytes_less_one;
};
struct XattrHead {
    std::uint16_t type, name_bytes;
};

Result<> expect(int code, std::string_view doing) {
    if (code != 0) return squashfs_error(doing, code);
    return {};
}

Result<> take(sqfs_meta_reader_t* reader, void* out, std::size_t bytes, std::string_view doing) {
    return expect(sqfs_meta_reader_read(reader, out, bytes), doing);
}

template <typename T>
Result<T> take(sqfs_meta_reader_t* reader, std::string_view doing) {
    T out{};
    LX_TRY(take(reader, &out, sizeof out, doing));
    return out;
}

std::unexpected<Error> too_large(std::string_view doing, std::string_view what) {
    return fail(Status::bad_request, fmt::format("The squashfs image is broken {}: {}", doing, what));
}

Result<> check_size(const sqfs_super_t& super, std::uint64_t bytes, std::string_view doing) {
    if (bytes / super.block_size < kMaxBlocks) return {};
    return too_large(doing,
                     fmt::format("a file of {} bytes in blocks of {} is too large", bytes, super.block_size));
}

}  // namespace

Result<SquashfsTables> SquashfsTables::open(const sqfs_super_t& super, sqfs_file_t& file,
                                            sqfs_compressor_t& decompressor) {
    constexpr std::string_view kDoing = "in its tables";
    SquashfsTables out;
    out.super_ = &super;
    const auto reader = [&](std::uint64_t start, std::uint64_t limit) {
        return Reader(sqfs_meta_reader_create(&file, &decompressor, start, limit));
    };
    out.inodes_ = reader(super.inode_table_start, super.directory_table_start);
    // Whichever comes next; those that an image does not have are behind its end.
    const std::uint64_t names_end =
        std::min({super.id_table_start, super.fragment_table_start, super.export_table_start});
    out.names_ = reader(super.directory_table_start, names_end);
    if (!out.inodes_ || !out.names_) return squashfs_error(kDoing, SQFS_ERROR_ALLOC);
    if ((super.flags & SQFS_FLAG_NO_XATTRS) != 0 || super.xattr_id_table_start == ~std::uint64_t{0})
        return out;
    std::uint64_t start = 0;
    LX_TRY(expect(file.read_at(&file, super.xattr_id_table_start, &start, sizeof start), kDoing));
    out.xattrs_start_ = le64toh(start);
    if (out.xattrs_start_ > super.xattr_id_table_start)
        return squashfs_error(kDoing, SQFS_ERROR_OUT_OF_BOUNDS);
    out.xattrs_ = reader(out.xattrs_start_, super.xattr_id_table_start);
    if (!out.xattrs_) return squashfs_error(kDoing, SQFS_ERROR_ALLOC);
    return out;
}

Result<> SquashfsTables::check_inode(std::uint64_t block, std::size_t offset, std::string_view doing) {
    auto* const reader = inodes_.get();
    LX_TRY(expect(sqfs_meta_reader_seek(reader, super_->inode_table_start + block, offset), doing));
    LX_TRY_AS(const auto base, take<sqfs_inode_t>(reader, doing));
    switch (le16toh(base.type)) {
        case SQFS_INODE_FILE: {
            LX_TRY_AS(const auto file, take<sqfs_inode_file_t>(reader, doing));
            return check_size(*super_, le32toh(file.file_size), doing);
        }
        case SQFS_INODE_EXT_FILE: {
            LX_TRY_AS(const auto file, take<sqfs_inode_file_ext_t>(reader, doing));
            return check_size(*super_, le64toh(file.file_size), doing);
        }
        case SQFS_INODE_SLINK:
        case SQFS_INODE_EXT_SLINK: {  // they begin alike
            LX_TRY_AS(const auto link, take<sqfs_inode_slink_t>(reader, doing));
            if (le32toh(link.target_size) > kMaxTargetBytes)
                return too_large(doing, "the target of a symbolic link is too long");
            return {};
        }
        case SQFS_INODE_EXT_DIR: {
            LX_TRY_AS(const auto directory, take<sqfs_inode_dir_ext_t>(reader, doing));
            return check_index(le16toh(directory.inodex_count), doing);
        }
        default:
            return {};
    }
}

Result<> SquashfsTables::check_index(std::uint16_t count, std::string_view doing) {
    std::array<char, kMaxIndexName> name{};
    for (int i = 0; i < count; ++i) {
        LX_TRY_AS(const auto entry, take<IndexHead>(inodes_.get(), doing));
        const std::uint32_t less_one = le32toh(entry.name_bytes_less_one);
        if (less_one >= kMaxIndexName) return too_large(doing, "a name in its index is too long");
        LX_TRY(take(inodes_.get(), name.data(), less_one + 1, doing));
    }
    return {};
}

Result<SquashfsInode> SquashfsTables::inode(std::uint64_t reference, std::string_view doing) {
    const std::uint64_t block = reference >> kReferenceBits;
    const std::size_t offset = reference & kReferenceMask;
    LX_TRY(check_inode(block, offset, doing));
    sqfs_inode_generic_t* raw = nullptr;
    // After an error it may still point to what the library has freed.
    LX_TRY(expect(sqfs_meta_reader_read_inode(inodes_.get(), super_, block, offset, &raw), doing));
    return SquashfsInode(raw);
}

Result<std::optional<SquashfsTables::Name>> SquashfsTables::next_name(sqfs_readdir_state_t& place,
                                                                      std::string_view doing) {
    sqfs_dir_entry_t* raw = nullptr;
    sqfs_u64 reference = 0;
    const int rc = sqfs_meta_reader_readdir(names_.get(), &place, &raw, nullptr, &reference);
    if (rc > 0) return std::nullopt;
    LX_TRY(expect(rc, doing));
    const std::unique_ptr<sqfs_dir_entry_t, FreeSquashfs> entry(raw);
    return Name{reinterpret_cast<const char*>(entry->name), reference};
}

Result<> SquashfsTables::seek_xattr(std::uint64_t reference, std::string_view doing) {
    return expect(sqfs_meta_reader_seek(xattrs_.get(), xattrs_start_ + (reference >> kReferenceBits),
                                        reference & kReferenceMask),
                  doing);
}

/// @param elsewhere  its place is here, and is shared with others
Result<std::string> SquashfsTables::xattr_value(bool elsewhere, std::string_view doing) {
    auto* const reader = xattrs_.get();
    LX_TRY_AS(const auto size_bytes, take<std::uint32_t>(reader, doing));
    std::size_t size = le32toh(size_bytes);
    sqfs_u64 block = 0;
    std::size_t offset = 0;
    if (elsewhere) {
        LX_TRY_AS(const auto reference, take<std::uint64_t>(reader, doing));
        if (size != sizeof reference) return squashfs_error(doing, SQFS_ERROR_CORRUPTED);
        sqfs_meta_reader_get_position(reader, &block, &offset);
        LX_TRY(seek_xattr(le64toh(reference), doing));
        LX_TRY_AS(const auto there, take<std::uint32_t>(reader, doing));
        size = le32toh(there);
    }
    if (size > kMaxXattrBytes) return too_large(doing, "an extended attribute is too large");
    std::string value(size, '\0');
    LX_TRY(take(reader, value.data(), size, doing));
    if (elsewhere) LX_TRY(expect(sqfs_meta_reader_seek(reader, block, offset), doing));
    return value;
}

Result<std::vector<Xattr>> SquashfsTables::xattrs(const sqfs_xattr_id_t& list, std::string_view doing) {
    std::vector<Xattr> out;
    if (!xattrs_) return out;
    LX_TRY(seek_xattr(list.xattr, doing));
    for (std::uint32_t i = 0; i < list.count; ++i) {
        LX_TRY_AS(const auto head, take<XattrHead>(xattrs_.get(), doing));
        const unsigned type = le16toh(head.type);
        const char* const prefix =
            sqfs_get_xattr_prefix(static_cast<SQFS_XATTR_TYPE>(type & SQFS_XATTR_PREFIX_MASK));
        if (prefix == nullptr) return squashfs_error(doing, SQFS_ERROR_UNSUPPORTED);
        std::string name(le16toh(head.name_bytes), '\0');
        LX_TRY(take(xattrs_.get(), name.data(), name.size(), doing));
        LX_TRY_AS(std::string value, xattr_value((type & SQFS_XATTR_FLAG_OOL) != 0, doing));
        out.push_back({prefix + name, std::move(value)});
    }
    return out;
}

}  // namespace lxmgr::images
