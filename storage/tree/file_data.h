#pragma once
#include <cstdint>

#include "lxd-daemon/base/result.h"

namespace lxmgr::storage {

/// Copies the content of one regular file into an empty one by the cheapest way the file systems have: shared
/// extents (FICLONE), else copy_file_range(2) of the data between holes, else read and write. Remembers what
/// did not work, so one object serves one pair of file systems. Not thread-safe.
class FileCopier {
public:
    /// Errors: `internal` with errno (ENOSPC, EIO, ...).
    Result<> copy(int from, int to, std::uint64_t size_bytes);

private:
    Result<> copy_range(int from, int to, std::int64_t at, std::int64_t end);

    bool can_clone_ = true;
    bool can_copy_range_ = true;
};

}  // namespace lxmgr::storage
