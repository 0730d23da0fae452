#include "images/tar_files.h"

namespace lxmgr::images {
namespace {

constexpr std::size_t kTarBatchFiles = 32;
constexpr std::size_t kTarBatchBytes = std::size_t{1} << 20;
constexpr std::uint64_t kCarriedBytes = std::uint64_t{128}
                                        << 10;  // of one file; copying more costs more than it saves

}  // namespace

Result<> TarFiles::add(FileWriter file, TarReader& tar) {
    const bool large = file.entry().size_bytes > kCarriedBytes;
    std::vector<Block> blocks;
    const auto take = [&](std::uint64_t offset, const char* data, std::size_t size) -> Result<> {
        // A sparse file may bring more than its size says: that is written here, too.
        if (large || content_.size() + size > kTarBatchBytes) return file.write(offset, data, size);
        blocks.push_back({offset, content_.size(), size});
        content_.append(data, size);
        return {};
    };
    LX_TRY(tar.read(take));
    if (large) return file.finish();
    filling_.push_back({std::move(file), std::move(blocks)});
    if (filling_.size() < kTarBatchFiles && content_.size() < kTarBatchBytes - kCarriedBytes) return {};
    return hand_over();
}

Result<> TarFiles::hand_over() {
    return workers_.add([jobs = std::exchange(filling_, {}),
                         content = std::exchange(content_, {})](unsigned) mutable -> Result<> {
        for (auto& [file, blocks] : jobs) {
            for (const auto& block : blocks)
                LX_TRY(file.write(block.offset, content.data() + block.at, block.size));
            LX_TRY(file.finish());
        }
        return {};
    });
}

Result<> TarFiles::finish() {
    if (!filling_.empty()) LX_TRY(hand_over());
    return workers_.finish();
}

}  // namespace lxmgr::images
