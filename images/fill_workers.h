#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "lxd-daemon/base/result.h"

namespace lxmgr::images {

/// Threads that fill files with their content while the caller goes on creating entries.
class FillWorkers {
public:
    /// Some files to be filled. It gets the number of its thread, below count(), and runs beside others.
    using Batch = std::move_only_function<Result<>(unsigned thread)>;

    /// One thread for each of the host's, within bounds.
    static unsigned count();
    /// @param threads  how many; fewer are started where the host is out of them
    explicit FillWorkers(unsigned threads);
    FillWorkers(const FillWorkers&) = delete;
    FillWorkers& operator=(const FillWorkers&) = delete;
    /// Drops what has not been begun and waits for the threads.
    ~FillWorkers();

    /// Hands a batch over; waits while all threads are behind. Errors: the first that any thread met.
    Result<> add(Batch batch);
    /// Waits for all batches. Errors: the first that any thread met.
    Result<> finish();

private:
    void work(unsigned thread);
    std::optional<Batch> take();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Batch> batches_;
    bool no_more_ = false;
    std::optional<Error> error_;
    std::vector<std::jthread> threads_;
};

}  // namespace lxmgr::images
