#pragma once
#include <cstdint>
#include <deque>
#include <stop_token>
#include <string>
#include <vector>

#include "images/sha256.h"
#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::images {

/// SHA-256 of files that are still being written, one after the other: read from them behind the writer, who
/// hashes while it has nothing to write and leaves the rest to whoever wants to know. One thread at a time.
class TrailingHash {
public:
    static Result<TrailingHash> open();

    /// The next file begins; of the one before, all has been written.
    /// @param fd    is duplicated, and read with pread(2) only
    /// @param path  for errors
    Result<> begin_file(int fd, std::string path);
    /// So many more bytes of it are there.
    void wrote(std::uint64_t bytes) { files_.back().written += bytes; }
    /// Hashes a little of what is there. False: nothing was left to.
    Result<bool> hash_some();
    /// Of all that was written, as 64 lower-case hex digits; hashes what is left. To be called once. Errors:
    /// of reading; `unavailable` when stop was requested.
    Result<std::string> finish(const std::stop_token& stop);

private:
    struct File {
        UniqueFd fd;
        std::string path;
        std::uint64_t written = 0, hashed = 0;
    };
    explicit TrailingHash(Sha256 digest) : digest_(std::move(digest)) {}

    Sha256 digest_;
    std::vector<char> piece_;
    std::deque<File> files_;  ///< the first of them is being hashed, the last one written
};

}  // namespace lxmgr::images
