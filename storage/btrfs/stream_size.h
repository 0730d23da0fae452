#pragma once
#include <cstdint>

#include "storage/btrfs/send_stream.h"

namespace lxmgr::storage {

/// How long a stream is, told by one without file content (BTRFS_SEND_FLAG_NO_FILE_DATA), for which the
/// kernel reads no files: such a stream has an update_extent where others write, and is the same but for
/// that.
class StreamSize {
public:
    /// Errors: `bad_request` for a command that is not of its form.
    Result<> add(const StreamCommand& command);
    /// By how much the stream with its content is longer than the one whose commands were added.
    [[nodiscard]] std::uint64_t more_bytes() const { return more_; }

private:
    std::uint64_t more_ = 0;
};

}  // namespace lxmgr::storage
