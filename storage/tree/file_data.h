#pragma once
#include <chrono>
#include <cstdint>

#include "lxd-daemon/base/result.h"

namespace lxmgr::storage {

/// Copies the content of one regular file into an empty one by the cheapest way the file systems have: shared
/// extents (FICLONE), else copy_file_range(2) of the data between holes, else read and write. Remembers what
/// did not work, so one object serves one pair of file systems. Not thread-safe.
class FileCopier {
public:
    /// @param bytes_per_second  no faster than that, which shares no extents either; 0: as fast as it can
    explicit FileCopier(std::uint64_t bytes_per_second = 0)
        : bytes_per_second_(bytes_per_second),
          can_clone_(bytes_per_second == 0),
          can_copy_range_(bytes_per_second == 0) {}

    /// Errors: `internal` with errno (ENOSPC, EIO, ...).
    Result<> copy(int from, int to, std::uint64_t size_bytes);

private:
    Result<> copy_range(int from, int to, std::int64_t at, std::int64_t end);
    Result<> copy_by_reading(int from, int to, std::int64_t at, std::int64_t end);
    void keep_pace(std::size_t bytes);

    std::uint64_t bytes_per_second_;
    bool can_clone_;
    bool can_copy_range_;
    std::chrono::steady_clock::time_point next_{};  ///< when the next bytes may be written
};

}  // namespace lxmgr::storage
