#pragma once
#include <cstdint>

/// The console ring file: this header at offset 0, then kRingBytes of data. The monitor alone writes `total`,
/// the daemon alone writes `cleared`, so neither needs a lock. The ring holds bytes max(cleared, total -
/// kRingBytes) .. total of all that the console ever wrote; byte i is at kRingData + i % kRingBytes.
namespace lxmgr::wire {

constexpr std::uint64_t kRingMagic = 0x31474e49524d584c;  // "LXMRING1"
constexpr std::uint64_t kRingBytes = 128 * 1024;
constexpr std::uint64_t kRingData = 4096;

struct RingHeader {
    std::uint64_t magic;
    std::uint64_t total;
    std::uint64_t cleared;
};

}  // namespace lxmgr::wire
