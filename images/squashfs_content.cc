#include <fmt/format.h>
#include <sqfs/block.h>
#include <sqfs/error.h>
#include <sqfs/inode.h>

#include <algorithm>

#include "images/squashfs_parts.h"

namespace lxmgr::images {

std::unexpected<Error> squashfs_error(std::string_view doing, int code) {
    std::string_view why = "the data is corrupted";
    // Sizes in the image decide what libsquashfs allocates; the host's own shortage would look the same.
    if (code == SQFS_ERROR_ALLOC) why = "it asks for more memory than there is";
    if (code == SQFS_ERROR_IO) why = "the file cannot be read to its end";
    if (code == SQFS_ERROR_COMPRESSOR) why = "the data cannot be decompressed";
    if (code == SQFS_ERROR_UNSUPPORTED) why = "it uses an unsupported feature";
    if (code == SQFS_ERROR_OUT_OF_BOUNDS) why = "a reference leads out of the image";
    return fail(Status::bad_request, fmt::format("The squashfs image is broken {}: {}", doing, why));
}

Result<SquashfsPtr<sqfs_compressor_t>> open_decompressor(const sqfs_super_t& super) {
    sqfs_compressor_config_t config{};
    int rc = sqfs_compressor_config_init(&config, static_cast<SQFS_COMPRESSOR>(super.compression_id),
                                         super.block_size, SQFS_COMP_FLAG_UNCOMPRESS);
    sqfs_compressor_t* out = nullptr;
    if (rc == 0) rc = sqfs_compressor_create(&config, &out);
    if (rc != 0) return squashfs_error("in its superblock (compression)", rc);
    return SquashfsPtr<sqfs_compressor_t>(out);
}

SquashfsContent::SquashfsContent(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
SquashfsContent::SquashfsContent(SquashfsContent&&) noexcept = default;
SquashfsContent& SquashfsContent::operator=(SquashfsContent&&) noexcept = default;
SquashfsContent::~SquashfsContent() = default;

Result<SquashfsContent> SquashfsReader::content() const {
    auto parts = std::make_unique<SquashfsContent::Parts>();
    parts->super = parts_->super;
    parts->file.reset(static_cast<sqfs_file_t*>(sqfs_copy(parts_->file.get())));
    if (!parts->file) return fail_errno("Duplicating the descriptor of", "the squashfs image");
    LX_TRY_AS(parts->decompressor, open_decompressor(parts->super));
    parts->tails.reset(
        sqfs_data_reader_create(parts->file.get(), parts->super.block_size, parts->decompressor.get(), 0));
    if (!parts->tails) return squashfs_error("opening it", SQFS_ERROR_ALLOC);
    if (const int rc = sqfs_data_reader_load_fragment_table(parts->tails.get(), &parts->super); rc != 0) {
        return squashfs_error("in its fragment table", rc);
    }
    parts->packed.resize(parts->super.block_size);
    parts->unpacked.resize(parts->super.block_size);
    return SquashfsContent(std::move(parts));
}

Result<> SquashfsContent::copy(const sqfs_inode_generic_t& inode, FileWriter& file) {
    const std::uint64_t size_bytes = file.entry().size_bytes;
    LX_TRY(copy_blocks(inode, file, size_bytes));
    const std::uint64_t in_blocks =
        sqfs_inode_get_file_block_count(&inode) * std::uint64_t{parts_->super.block_size};
    if (in_blocks < size_bytes) {
        std::size_t tail_size = 0;
        sqfs_u8* raw = nullptr;
        const int rc = sqfs_data_reader_get_fragment(parts_->tails.get(), &inode, &tail_size, &raw);
        const std::string doing = fmt::format("at the end of {}", shown(file.entry().path));
        if (rc != 0) return squashfs_error(doing, rc);
        const std::unique_ptr<sqfs_u8, FreeSquashfs> tail(raw);
        if (tail_size != size_bytes - in_blocks) return squashfs_error(doing, SQFS_ERROR_CORRUPTED);
        LX_TRY(file.write(in_blocks, reinterpret_cast<const char*>(tail.get()), tail_size));
    }
    return file.finish();
}

Result<> SquashfsContent::copy_blocks(const sqfs_inode_generic_t& inode, FileWriter& file,
                                      std::uint64_t size_bytes) {
    const std::size_t count = sqfs_inode_get_file_block_count(&inode);
    sqfs_u64 at = 0;
    sqfs_inode_get_file_block_start(&inode, &at);
    std::uint64_t offset = 0;
    for (std::size_t i = 0; i < count && offset < size_bytes; ++i) {
        const std::uint64_t want = std::min<std::uint64_t>(parts_->super.block_size, size_bytes - offset);
        LX_TRY(copy_block(inode.extra[i], at, offset, want, file));
        at += SQFS_ON_DISK_BLOCK_SIZE(inode.extra[i]);
        offset += want;
    }
    return {};
}

/// @param word  a block's size on disk and whether it is compressed, as the inode has it
Result<> SquashfsContent::copy_block(std::uint32_t word, std::uint64_t at, std::uint64_t offset,
                                     std::uint64_t want, FileWriter& file) {
    if (SQFS_IS_SPARSE_BLOCK(word)) return file.skip();
    const auto corrupted = [&](int code) {
        return squashfs_error(fmt::format("in {}", shown(file.entry().path)), code);
    };
    const std::uint32_t on_disk = SQFS_ON_DISK_BLOCK_SIZE(word);
    if (on_disk > parts_->packed.size()) return corrupted(SQFS_ERROR_CORRUPTED);
    const int rc = parts_->file->read_at(parts_->file.get(), at, parts_->packed.data(), on_disk);
    if (rc != 0) return corrupted(rc);
    const unsigned char* data = parts_->packed.data();
    std::uint64_t size = on_disk;
    if (SQFS_IS_BLOCK_COMPRESSED(word)) {
        sqfs_compressor_t* const decompressor = parts_->decompressor.get();
        const sqfs_s32 n = decompressor->do_block(decompressor, data, on_disk, parts_->unpacked.data(),
                                                  static_cast<sqfs_u32>(parts_->unpacked.size()));
        if (n <= 0) return corrupted(n == 0 ? SQFS_ERROR_CORRUPTED : n);
        data = parts_->unpacked.data();
        size = static_cast<std::uint64_t>(n);
    }
    if (size != want) return corrupted(SQFS_ERROR_CORRUPTED);
    return file.write(offset, reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
}

}  // namespace lxmgr::images
