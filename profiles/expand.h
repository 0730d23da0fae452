#pragma once
#include <span>

#include "lxd-daemon/api/types.h"

namespace lxmgr::profiles {

/// The part of a profile (or an instance) that merges.
struct Layer {
    const api::ConfigMap* config = nullptr;
    const api::DeviceMap* devices = nullptr;
};
struct Expanded {
    api::ConfigMap config;
    api::DeviceMap devices;
};
/// LXD's expansion: later layers win, key by key for config, whole device by device; the instance is the last
/// layer. Pure function, never fails.
Expanded expand(std::span<const Layer> layers);

}  // namespace lxmgr::profiles
