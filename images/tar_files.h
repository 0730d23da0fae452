#pragma once
#include <string>
#include <vector>

#include "images/entry_writer.h"
#include "images/fill_workers.h"
#include "images/tar_reader.h"

namespace lxmgr::images {

/// Files of a tarball filled by threads. Its content can only be read in order, so that of small files is
/// carried to them in memory, some MiB at most; the rest is written at once.
class TarFiles {
public:
    TarFiles() : workers_(FillWorkers::count()) {}

    /// Takes a file whose content comes next in `tar`. Errors: those of reading it, and the first that any
    /// thread met.
    Result<> add(FileWriter file, TarReader& tar);
    /// Waits for all files. Errors: the first that any thread met.
    Result<> finish();

private:
    struct Block {
        std::uint64_t offset;  ///< in the file
        std::size_t at, size;  ///< in content_
    };
    struct Job {
        FileWriter file;
        std::vector<Block> blocks;
    };
    Result<> hand_over();

    std::vector<Job> filling_;
    std::string content_;  ///< of the files of filling_
    FillWorkers workers_;
};

}  // namespace lxmgr::images
