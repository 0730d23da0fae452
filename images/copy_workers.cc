#include "images/copy_workers.h"

#include <sqfs/inode.h>

#include <exception>
#include <system_error>

namespace lxmgr::images {
namespace {

constexpr std::uint32_t kNoFragment = 0xffffffff;
// Descriptors in use at once: this many in each batch, with one batch filling, one in each thread, and
// kQueued waiting.
constexpr std::size_t kBatchFiles = 32;
constexpr std::uint64_t kBatchBytes = std::uint64_t{4} << 20;
constexpr std::size_t kQueued = 4;

std::uint32_t fragment_of(const sqfs_inode_generic_t& inode) {
    sqfs_u32 index = kNoFragment, offset = 0;
    sqfs_inode_get_frag_location(&inode, &index, &offset);
    return index;
}

}  // namespace

CopyWorkers::CopyWorkers(std::vector<SquashfsContent> contents) : filling_fragment_(kNoFragment) {
    for (auto& content : contents) {
        try {
            threads_.emplace_back([this, own = std::move(content)]() mutable { work(std::move(own)); });
        } catch (const std::system_error&) {  // the host is out of threads: fewer do, none does not
            if (threads_.empty()) throw;
            return;
        }
    }
}

CopyWorkers::~CopyWorkers() {
    {
        const std::lock_guard lock(mutex_);
        batches_.clear();
        no_more_ = true;
    }
    changed_.notify_all();
    threads_.clear();
}

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
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return error_ || batches_.size() < kQueued; });
        if (error_) return std::unexpected(*error_);
        batches_.push_back(std::exchange(filling_, {}));
    }
    changed_.notify_all();
    filling_bytes_ = 0;
    filling_fragment_ = kNoFragment;
    return {};
}

Result<> CopyWorkers::finish() {
    if (!filling_.empty()) LX_TRY(hand_over());
    {
        const std::lock_guard lock(mutex_);
        no_more_ = true;
    }
    changed_.notify_all();
    threads_.clear();  // joins
    if (error_) return std::unexpected(*error_);
    return {};
}

std::optional<CopyWorkers::Batch> CopyWorkers::take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return error_ || no_more_ || !batches_.empty(); });
    if (error_ || batches_.empty()) return std::nullopt;
    Batch batch = std::move(batches_.front());
    batches_.pop_front();
    lock.unlock();
    changed_.notify_all();
    return batch;
}

void CopyWorkers::work(SquashfsContent content) {
    const auto copy_all = [&content](Batch& batch) -> Result<> {
        for (Job& job : batch) LX_TRY(content.copy(*job.inode, job.file));
        return {};
    };
    Result<> result;
    try {
        while (result) {
            auto batch = take();
            if (!batch) return;
            result = copy_all(*batch);
        }
    } catch (const std::exception& e) {  // bad_alloc: it must not end the daemon from a thread of ours
        result = fail(Status::internal, std::string("Unpacking the image: ") + e.what());
    }
    {
        const std::lock_guard lock(mutex_);
        if (!error_) error_ = result.error();
    }
    changed_.notify_all();
}

}  // namespace lxmgr::images
