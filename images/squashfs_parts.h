#pragma once
#include <sqfs/compressor.h>
#include <sqfs/data_reader.h>
#include <sqfs/id_table.h>
#include <sqfs/io.h>
#include <sqfs/super.h>
#include <sqfs/xattr_reader.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "images/squashfs_reader.h"

/// What the two squashfs sources share; no header but theirs needs libsquashfs.
namespace lxmgr::images {

struct DestroySquashfs {
    void operator()(void* object) const { sqfs_destroy(object); }
};
template <typename T>
using SquashfsPtr = std::unique_ptr<T, DestroySquashfs>;

/// "The squashfs image is broken: <doing>: <why>". libsquashfs's codes are those of sqfs/error.h.
std::unexpected<Error> squashfs_error(std::string_view doing, int code);
Result<SquashfsPtr<sqfs_compressor_t>> open_decompressor(const sqfs_super_t& super);

struct SquashfsContent::Parts {
    // Destroyed from the last to the first: readers go before what they read through.
    sqfs_super_t super{};
    SquashfsPtr<sqfs_file_t> file;
    SquashfsPtr<sqfs_compressor_t> decompressor;
    SquashfsPtr<sqfs_data_reader_t> tails;
    std::vector<unsigned char> packed;
    std::vector<unsigned char> unpacked;
};

class SquashfsTables;

struct SquashfsReader::Parts {
    Parts();
    Parts(Parts&&) = delete;
    ~Parts();
    Budget* budget = nullptr;
    sqfs_super_t super{};  // the tables keep a pointer to it
    SquashfsPtr<sqfs_file_t> file;
    SquashfsPtr<sqfs_compressor_t> decompressor;
    SquashfsPtr<sqfs_id_table_t> ids;
    SquashfsPtr<sqfs_xattr_reader_t> xattrs;
    std::unique_ptr<SquashfsTables> tables;
    std::unordered_map<std::uint32_t, std::string> linked;  ///< first name of inodes that have several
    std::unordered_set<std::uint32_t> seen_directories;
};

}  // namespace lxmgr::images
