#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/device_steps.h"
#include "lxd-daemon/instances/service_impl.h"
#include "lxd-daemon/instances/steps.h"

namespace lxmgr::instances {
namespace {

bool has_network(const Context& context, const std::string& name) {
    const auto status = context.live.get(name).status;
    return status == api::StatusCode::running || status == api::StatusCode::frozen;
}

}  // namespace
void Service::repair_nics() {
    Context& context = impl_->context;
    for (const auto& row : context.rows().list()) {
        if (!has_network(context, row->name)) continue;
        auto request = request_for("Updating instance", row->name, "");
        request.body = step([&context, name = row->name](const std::stop_token&) -> Result<> {
            const auto record = context.rows().find(name);
            if (record && has_network(context, name)) repair_nics_of(context, *record);
            return {};
        });
        if (auto started = context.deps.operations.start(std::move(request)); !started)
            log::warn("NICs not repaired", {{"instance", row->name}, {"error", started.error().message}});
    }
}

}  // namespace lxmgr::instances
