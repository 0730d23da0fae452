#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "images/squashfs_reader.h"

namespace lxmgr::images {

/// Threads that fill files with their content while the caller goes on creating entries. Files go in batches
/// that end where the fragment block changes, so that each such block is decompressed by one thread only.
class CopyWorkers {
public:
    explicit CopyWorkers(std::vector<SquashfsContent> contents);
    CopyWorkers(const CopyWorkers&) = delete;
    CopyWorkers& operator=(const CopyWorkers&) = delete;
    /// Drops what has not been begun and waits for the threads.
    ~CopyWorkers();

    /// Hands one file over; waits while all threads are behind. Errors: the first that any thread met.
    Result<> add(FileWriter file, SquashfsInode inode);
    /// Waits for all files. Errors: the first that any thread met.
    Result<> finish();

private:
    struct Job {
        FileWriter file;
        SquashfsInode inode;
    };
    using Batch = std::vector<Job>;
    Result<> hand_over();
    void work(SquashfsContent content);
    std::optional<Batch> take();

    Batch filling_;
    std::uint64_t filling_bytes_ = 0;
    std::uint32_t filling_fragment_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Batch> batches_;
    bool no_more_ = false;
    std::optional<Error> error_;
    std::vector<std::jthread> threads_;
};

}  // namespace lxmgr::images
