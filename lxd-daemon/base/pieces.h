#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr {

/// A part of something that is sent in one run: a text, or so much of a file from its beginning.
struct Piece {
    std::string text = {};
    UniqueFd file = UniqueFd();  ///< when valid: in place of the text
    std::uint64_t file_bytes = 0;
    [[nodiscard]] std::uint64_t size_bytes() const { return file ? file_bytes : text.size(); }
};
std::uint64_t size_of(const std::vector<Piece>& pieces);
/// As pread(2) of all of them one after the other; 0 at the end. Errors: of a file, also one that has become
/// shorter.
Result<std::size_t> read_pieces(const std::vector<Piece>& pieces, std::uint64_t offset,
                                std::span<char> buffer);

}  // namespace lxmgr
