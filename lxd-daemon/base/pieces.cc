#include "lxd-daemon/base/pieces.h"

#include <unistd.h>

#include <algorithm>

namespace lxmgr {

std::uint64_t size_of(const std::vector<Piece>& pieces) {
    std::uint64_t sum = 0;
    for (const auto& piece : pieces) sum += piece.size_bytes();
    return sum;
}

Result<std::size_t> read_pieces(const std::vector<Piece>& pieces, std::uint64_t offset,
                                std::span<char> buffer) {
    for (const auto& piece : pieces) {
        if (offset >= piece.size_bytes()) {
            offset -= piece.size_bytes();
            continue;
        }
        const std::size_t most = std::min<std::uint64_t>(buffer.size(), piece.size_bytes() - offset);
        if (!piece.file) return piece.text.copy(buffer.data(), most, offset);
        for (;;) {
            const ssize_t got = ::pread(piece.file.get(), buffer.data(), most, static_cast<off_t>(offset));
            if (got > 0) return static_cast<std::size_t>(got);
            if (got == 0) return fail(Status::internal, "The file became shorter while it was sent");
            if (errno != EINTR) return fail_errno("Reading", "a file that is sent");
        }
    }
    return std::size_t{0};
}

}  // namespace lxmgr
