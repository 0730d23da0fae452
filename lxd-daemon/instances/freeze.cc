#include "lxd-daemon/instances/freeze.h"

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/log.h"

namespace lxmgr::instances {

Result<> Freeze::begin() {
    auto& intents = context_.deps.database.intents();
    for (const auto& name : names_) {
        if (context_.live.get(name).status != api::StatusCode::running) continue;
        LX_TRY_AS(const auto intent, intents.add("freeze-instance", {{"name", name}}, false));
        frozen_.push_back({name, intent});
        failpoint("instances.freeze.intent");
        LX_TRY(context_.deps.runtime.freeze(name));
        failpoint("instances.freeze.frozen");
    }
    return {};
}

void Freeze::end() {
    for (const auto& [name, intent] : frozen_) {
        // A freeze that failed half-way is undone too.
        if (auto thawed = context_.deps.runtime.unfreeze(name); !thawed)
            log::error("instance not unfrozen", {{"instance", name}, {"error", thawed.error().message}});
        if (auto removed = context_.deps.database.intents().remove(intent); !removed)
            log::error("intent left", {{"error", removed.error().message}});
    }
    frozen_.clear();
}

}  // namespace lxmgr::instances
