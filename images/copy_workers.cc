#include "images/copy_workers.h"

#include <sqfs/inode.h>

#include <utility>

namespace lxmgr::images {
namespace {

constexpr std::uint32_t kNoFragment = 0xffffffff;
// Descriptors in use at once: this many in each batch, with one batch filling, one in each thread, and those
// that wait.
constexpr std::size_t kBatchFiles = 32;
constexpr std::uint64_t kBatchBytes = std::uint64_t{4} << 20;

std::uint32_t fragment_of(const sqfs_inode_generic_t& inode) {
    sqfs_u32 index = kNoFragment, offset = 0;
    sqfs_inode_get_frag_location(&inode, &index, &offset);
    return index;
}

}  // namespace

CopyWorkers::CopyWorkers(std::vector<SquashfsContent> contents)
    : contents_(std::move(contents)),
      filling_fragment_(kNoFragment),
      workers_(static_cast<unsigned>(contents_.size())) {}

Result<> CopyWorkers::add(FileWriter file, SquashfsInode inode) {
    const std::uint32_t fragment = fragment_of(*inode);
    const bool other_fragment =
        fragment != kNoFragment && filling_fragment_ != kNoFragment && fragment != filling_fragment_;
    if (other_fragment || filling_.size() >= kBatchFiles || filling_bytes_ >= kBatchBytes)
        LX_TRY(hand_over());
    if (fragment != kNoFragment) filling_fragment_ = fragment;
    filling_bytes_ += file.entry().size_bytes;
    filling_.push_back({std::move(file), std::move(inode)});
    return {};
}

Result<> CopyWorkers::hand_over() {
    auto fill = [this, jobs = std::exchange(filling_, {})](unsigned thread) mutable -> Result<> {
        for (Job& job : jobs) LX_TRY(contents_[thread].copy(*job.inode, job.file));
        return {};
    };
    LX_TRY(workers_.add(std::move(fill)));
    filling_bytes_ = 0;
    filling_fragment_ = kNoFragment;
    return {};
}

Result<> CopyWorkers::finish() {
    if (!filling_.empty()) LX_TRY(hand_over());
    return workers_.finish();
}

}  // namespace lxmgr::images
