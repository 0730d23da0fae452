#pragma once
#include <cstdint>
#include <string_view>

namespace lxmgr::network {

/// FNV-1a, 64 bits: the same in every version of this program, which std::hash does not promise. Not for
/// secrets.
constexpr std::uint64_t digest(std::string_view text) {
    std::uint64_t value = 0xcbf29ce484222325;
    for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return value;
}

}  // namespace lxmgr::network
