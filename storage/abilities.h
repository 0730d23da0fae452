#pragma once
#include <atomic>

namespace lxmgr::storage {

/// What the kernel and the pool's file system can do. A driver starts from the best and learns: the first
/// refusal sets a flag to false for good. Tests start from less, to get the ways of older kernels.
struct Abilities {
    std::atomic<bool> idmapped_mounts = true;  ///< Linux 5.12 and the file system
    std::atomic<bool> idmapped_layers = true;  ///< below overlay: Linux 5.19
    std::atomic<bool> detached_layers = true;  ///< overlay on mounts that are attached nowhere: Linux 6.15
};

}  // namespace lxmgr::storage
