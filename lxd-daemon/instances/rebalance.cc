#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/operations/operation.h"

namespace lxmgr::instances {
namespace {

Result<> move_to_better(Context& context, const std::string& name) {
    const LiveState live = context.live.get(name);
    if (live.status == api::StatusCode::stopped || !live.limits.cpus) return {};
    const auto better = context.cpus.improve(name);
    if (!better) return {};
    runtime::Limits limits = live.limits;
    limits.cpus = better;
    LX_TRY(context.deps.runtime.set_limits(name, live.limits, limits));
    context.live.set_limits(name, limits);
    return {};
}

}  // namespace

void rebalance_cpus(Context& context) {
    for (const std::string& name : context.cpus.improvable()) {
        operations::Request request;
        request.description = "Rebalancing CPUs";
        request.resources = {{"instances", {name}}};
        request.locks = {"instance:" + name};
        request.body = [&context, name](operations::Operation&, std::stop_token) -> Result<nlohmann::json> {
            LX_TRY(move_to_better(context, name));
            return nlohmann::json(nullptr);
        };
        if (auto started = context.deps.operations.start(std::move(request)); !started)
            log::warn("CPUs not rebalanced", {{"instance", name}, {"error", started.error().message}});
    }
}

}  // namespace lxmgr::instances
