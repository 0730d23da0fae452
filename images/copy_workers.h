#pragma once
#include <vector>

#include "images/fill_workers.h"
#include "images/squashfs_reader.h"

namespace lxmgr::images {

/// Files of a squashfs filled by threads. They go in batches that end where the fragment block changes, so
/// that each such block is decompressed by one thread only.
class CopyWorkers {
public:
    /// @param contents  one for each thread
    explicit CopyWorkers(std::vector<SquashfsContent> contents);

    /// Hands one file over; waits while all threads are behind. Errors: the first that any thread met.
    Result<> add(FileWriter file, SquashfsInode inode);
    /// Waits for all files. Errors: the first that any thread met.
    Result<> finish();

private:
    struct Job {
        FileWriter file;
        SquashfsInode inode;
    };
    Result<> hand_over();

    std::vector<SquashfsContent> contents_;
    std::vector<Job> filling_;
    std::uint64_t filling_bytes_ = 0;
    std::uint32_t filling_fragment_;
    FillWorkers workers_;  ///< ends before what its threads use
};

}  // namespace lxmgr::images
