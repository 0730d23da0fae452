#include "images/trailing_hash.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

namespace lxmgr::images {
namespace {

/// Hashed in some 70 microseconds: no longer does a writer that hashes let new bytes wait.
constexpr std::size_t kPieceBytes = std::size_t{128} << 10;

}  // namespace

Result<TrailingHash> TrailingHash::open() {
    LX_TRY_AS(auto digest, Sha256::open());
    return TrailingHash(std::move(digest));
}

Result<> TrailingHash::begin_file(int fd, std::string path) {
    UniqueFd own(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!own) return fail_errno("Duplicating the descriptor of", path);
    files_.push_back({.fd = std::move(own), .path = std::move(path)});
    return {};
}

Result<bool> TrailingHash::hash_some() {
    while (files_.size() > 1 && files_.front().hashed == files_.front().written) files_.pop_front();
    if (files_.empty() || files_.front().hashed == files_.front().written) return false;
    File& file = files_.front();
    piece_.resize(kPieceBytes);
    const std::size_t most = std::min<std::uint64_t>(file.written - file.hashed, piece_.size());
    const ssize_t size = ::pread(file.fd.get(), piece_.data(), most, static_cast<off_t>(file.hashed));
    if (size < 0 && errno == EINTR) return true;
    if (size < 0) return fail_errno("Reading", file.path);
    if (size == 0) return fail(Status::internal, fmt::format("{} became shorter", file.path));
    LX_TRY(digest_.add({piece_.data(), static_cast<std::size_t>(size)}));
    file.hashed += static_cast<std::uint64_t>(size);
    return true;
}

Result<std::string> TrailingHash::finish(const std::stop_token& stop) {
    for (;;) {
        if (stop.stop_requested()) return fail(Status::unavailable, "Hashing was cancelled");
        LX_TRY_AS(const bool more, hash_some());
        if (!more) break;
    }
    files_.clear();
    return digest_.finish();
}

}  // namespace lxmgr::images
