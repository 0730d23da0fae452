#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "images/entry.h"
#include "images/entry_writer.h"
#include "lxd-daemon/base/own.h"

struct sqfs_inode_generic_t;

namespace lxmgr::images {

struct FreeSquashfs {
    void operator()(void* memory) const;  ///< sqfs_free()
};
/// An inode as libsquashfs read it; holds a regular file's list of blocks.
using SquashfsInode = std::unique_ptr<sqfs_inode_generic_t, FreeSquashfs>;

/// Copies file contents out of a squashfs image. One thread only; several readers of one image may work side
/// by side.
class SquashfsContent {
public:
    SquashfsContent(SquashfsContent&&) noexcept;
    SquashfsContent& operator=(SquashfsContent&&) noexcept;
    ~SquashfsContent();
    /// Writes and finishes the file. Blocks that the image stores as holes stay holes.
    Result<> copy(const sqfs_inode_generic_t& inode, FileWriter& file);

private:
    friend class SquashfsReader;
    struct Parts;
    explicit SquashfsContent(std::unique_ptr<Parts> parts);
    Result<> copy_blocks(const sqfs_inode_generic_t& inode, FileWriter& file, std::uint64_t size_bytes);
    Result<> copy_block(std::uint32_t word, std::uint64_t at, std::uint64_t offset, std::uint64_t want,
                        FileWriter& file);
    std::unique_ptr<Parts> parts_;
};

/// Reads a squashfs 4.0 image through libsquashfs: its tree here, contents through SquashfsContent.
class SquashfsReader {
public:
    /// Errors: `bad_request` when the file is no whole squashfs image, or its tables are larger than any use
    /// has.
    static Result<SquashfsReader> open(const std::string& path, Budget& budget);
    SquashfsReader(SquashfsReader&&) noexcept;
    SquashfsReader& operator=(SquashfsReader&&) noexcept;
    ~SquashfsReader();

    using Visitor = std::function<Result<>(Entry entry, SquashfsInode inode)>;
    /// Visits the root and then everything below it, directories before their content. An inode with several
    /// names is a hard link from the second on. Errors: the visitor's; `bad_request` for a broken tree.
    Result<> walk(const Visitor& visit);
    Result<SquashfsContent> content() const;
    /// What the superblock claims; for progress only.
    std::uint64_t inode_count() const;

private:
    struct Parts;
    struct Pending {
        std::string path;
        SquashfsInode inode;
    };
    explicit SquashfsReader(std::unique_ptr<Parts> parts);
    Result<> load_tables();
    Result<> walk_directory(Pending directory, std::vector<Pending>& below, const Visitor& visit);
    Result<Entry> convert(std::string path, const sqfs_inode_generic_t& inode);
    Result<> read_xattrs(const sqfs_inode_generic_t& inode, Entry& entry);
    std::unique_ptr<Parts> parts_;
};

}  // namespace lxmgr::images
