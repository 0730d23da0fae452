#include "images/fill_workers.h"

#include <algorithm>
#include <exception>
#include <system_error>

namespace lxmgr::images {
namespace {

constexpr unsigned kMaxThreads = 4;
constexpr std::size_t kQueued = 4;  // batches that wait: they hold descriptors and content

}  // namespace

unsigned FillWorkers::count() { return std::clamp(std::thread::hardware_concurrency(), 1U, kMaxThreads); }

FillWorkers::FillWorkers(unsigned threads) {
    for (unsigned thread = 0; thread < threads; ++thread) {
        try {
            threads_.emplace_back([this, thread] { work(thread); });
        } catch (const std::system_error&) {  // the host is out of threads: fewer do, none does not
            if (threads_.empty()) throw;
            return;
        }
    }
}

FillWorkers::~FillWorkers() {
    {
        const std::lock_guard lock(mutex_);
        batches_.clear();
        no_more_ = true;
    }
    changed_.notify_all();
    threads_.clear();
}

Result<> FillWorkers::add(Batch batch) {
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return error_ || batches_.size() < kQueued; });
        if (error_) return std::unexpected(*error_);
        batches_.push_back(std::move(batch));
    }
    changed_.notify_all();
    return {};
}

Result<> FillWorkers::finish() {
    {
        const std::lock_guard lock(mutex_);
        no_more_ = true;
    }
    changed_.notify_all();
    threads_.clear();  // joins
    if (error_) return std::unexpected(*error_);
    return {};
}

std::optional<FillWorkers::Batch> FillWorkers::take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return error_ || no_more_ || !batches_.empty(); });
    if (error_ || batches_.empty()) return std::nullopt;
    Batch batch = std::move(batches_.front());
    batches_.pop_front();
    lock.unlock();
    changed_.notify_all();
    return batch;
}

void FillWorkers::work(unsigned thread) {
    Result<> result;
    try {
        while (result) {
            auto batch = take();
            if (!batch) return;
            result = (*batch)(thread);
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
