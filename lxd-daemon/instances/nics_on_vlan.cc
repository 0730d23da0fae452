#include "lxd-daemon/instances/nics_on_vlan.h"

#include <fmt/format.h>

namespace lxmgr::instances {

std::vector<devices::NicOnVlan> nics_on_vlan(Context& context, const std::string& interface) {
    std::vector<devices::NicOnVlan> out;
    for (const auto& record : context.rows().list()) {
        for (const auto& [name, own] : expand(context, *record).devices) {
            const auto keys = nic_on_parent(context.deps.database, own).value_or(own);
            const bool runs = record->config.contains(fmt::format("volatile.{}.last_state.created", name));
            const std::string vlan = api::value_of(keys, "vlan");
            if (runs && fmt::format("{}.{}", api::value_of(keys, "parent"), vlan) == interface)
                out.push_back({record->name, name});
        }
    }
    return out;
}

}  // namespace lxmgr::instances
