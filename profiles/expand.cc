#include "profiles/expand.h"

namespace lxmgr::profiles {

Expanded expand(std::span<const Layer> layers) {
    Expanded out;
    for (const Layer& layer : layers) {
        if (layer.config != nullptr) {
            for (const auto& [key, value] : *layer.config) out.config.insert_or_assign(key, value);
        }
        if (layer.devices != nullptr) {
            for (const auto& [name, device] : *layer.devices) out.devices.insert_or_assign(name, device);
        }
    }
    return out;
}

}  // namespace lxmgr::profiles
