#include "lxd-daemon/instances/migration/service.h"

#include "lxd-daemon/instances/migration/steps.h"
#include "lxd-daemon/instances/steps.h"

namespace lxmgr::instances {
namespace {

operations::Request migration_request(std::string description, const std::string& name,
                                      const MigrationWire& wire, const std::string& requestor) {
    auto request = request_for(std::move(description), name, requestor);
    request.may_cancel = true;
    if (wire.secrets.is_null()) return request;
    request.kind = operations::Class::websocket;
    request.metadata = wire.secrets;
    return request;
}

}  // namespace

Result<operations::OperationPtr> MigrationService::send(MigrationSubject subject, MigrationWire wire,
                                                        const std::string& requestor) {
    LX_TRY(require(context_, subject.instance));
    const bool runs = context_.live.get(subject.instance).status != api::StatusCode::stopped;
    if (subject.live && runs && subject.snapshot.empty())
        return fail(Status::bad_request,
                    "Live migration is not supported: stop the instance, or copy it stateless");
    const bool one_snapshot = !subject.snapshot.empty();
    auto request = migration_request(one_snapshot ? "Transferring snapshot" : "Migrating instance",
                                     subject.instance, wire, requestor);
    request.body = [this, subject = std::move(subject), link = wire.link](
                       operations::Operation& operation, std::stop_token stop) -> Result<nlohmann::json> {
        const BoundLink bound(*link, stop);
        LX_TRY(send_instance(context_, subject, *link, operation));
        return nlohmann::json(nullptr);
    };
    return context_.deps.operations.start(std::move(request));
}

Result<operations::OperationPtr> MigrationService::receive(api::InstancesPost post, MigrationWire wire,
                                                           const std::string& requestor) {
    LX_TRY_AS(ArrivalPlan plan, plan_arrival(context_, std::move(post)));
    plan.requestor = requestor;
    auto request = migration_request(plan.refresh ? "Refreshing instance" : "Creating instance",
                                     plan.record.name, wire, requestor);
    request.body = [this, plan = std::move(plan), link = wire.link](
                       operations::Operation& operation, std::stop_token stop) -> Result<nlohmann::json> {
        const BoundLink bound(*link, stop);
        LX_TRY(plan.refresh ? receive_refresh(context_, plan, *link, operation, stop)
                            : receive_instance(context_, plan, *link, operation, stop));
        return nlohmann::json(nullptr);
    };
    return context_.deps.operations.start(std::move(request));
}

}  // namespace lxmgr::instances
