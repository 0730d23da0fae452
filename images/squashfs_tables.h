#pragma once
#include <sqfs/meta_reader.h>
#include <sqfs/xattr.h>

#include <optional>
#include <string_view>
#include <vector>

#include "images/squashfs_parts.h"

/// The tables of a squashfs image in which every part says itself how much memory it takes. libsquashfs takes
/// what an image says before it reads: here it is asked only after a look.
namespace lxmgr::images {

class SquashfsTables {
public:
    /// Those given must outlive it. Errors, of all here: `bad_request`.
    static Result<SquashfsTables> open(const sqfs_super_t& super, sqfs_file_t& file,
                                       sqfs_compressor_t& decompressor);

    /// @param reference  as directories and the superblock have it
    /// @param doing      for errors, "in directory x"
    Result<SquashfsInode> inode(std::uint64_t reference, std::string_view doing);

    struct Name {
        std::string name;
        std::uint64_t inode = 0;  ///< its reference
    };
    /// The next of a directory's; none at its end.
    Result<std::optional<Name>> next_name(sqfs_readdir_state_t& place, std::string_view doing);

    bool has_xattrs() const { return xattrs_ != nullptr; }
    /// Those of a list, image's own words for the names.
    Result<std::vector<Xattr>> xattrs(const sqfs_xattr_id_t& list, std::string_view doing);

private:
    using Reader = SquashfsPtr<sqfs_meta_reader_t>;
    SquashfsTables() = default;
    Result<> check_inode(std::uint64_t block, std::size_t offset, std::string_view doing);
    Result<> check_index(std::uint16_t count, std::string_view doing);
    Result<std::string> xattr_value(bool elsewhere, std::string_view doing);
    Result<> seek_xattr(std::uint64_t reference, std::string_view doing);

    const sqfs_super_t* super_ = nullptr;
    Reader inodes_, names_, xattrs_;
    std::uint64_t xattrs_start_ = 0;
};

}  // namespace lxmgr::images
