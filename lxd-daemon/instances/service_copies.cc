#include <fmt/format.h>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/instances/copies.h"
#include "lxd-daemon/instances/images/remote.h"
#include "lxd-daemon/instances/service_impl.h"
#include "lxd-daemon/instances/snapshots.h"
#include "lxd-daemon/instances/steps.h"
#include "profiles/config_keys.h"

/// What makes instances from instances and moments of them.
namespace lxmgr::instances {

VolumeService& Service::volumes() { return impl_->volumes; }
BackupService& Service::backups() { return impl_->backups; }
ImageService& Service::images() { return impl_->images; }
MigrationService& Service::migrations() { return impl_->migrations; }
RecoveryService& Service::recovery() { return impl_->recovery; }

Result<operations::OperationPtr> Service::copy(api::InstancesPost post, const std::string& requestor) {
    LX_TRY_AS(auto plan, plan_copy(impl_->context, std::move(post)));
    plan.requestor = requestor;
    auto request =
        request_for(plan.refresh ? "Refreshing instance" : "Creating instance", plan.record.name, requestor);
    request.resources["instances"].push_back(plan.source);
    request.locks.push_back("instance:" + plan.source);
    request.body = step([this, plan = std::move(plan)](const std::stop_token&) {
        return plan.refresh ? refresh_instance(impl_->context, plan) : copy_instance(impl_->context, plan);
    });
    return deps_.operations.start(std::move(request));
}

Result<operations::OperationPtr> Service::move(const std::string& name, const api::InstancePost& post,
                                               const std::string& requestor) {
    LX_TRY(require(name));
    const std::string new_name = post.name.empty() ? name : post.name;
    LX_TRY(profiles::validate_instance_name(api::instance_name(new_name)));
    if (new_name != name && find(new_name))
        return fail(Status::conflict, fmt::format("Name \"{}\" already in use", new_name));
    if (!post.pool.empty()) LX_TRY(deps_.pools.driver(post.pool));
    if (status(name) != api::StatusCode::stopped)
        return fail(Status::bad_request, "Instance must be stopped to be moved to another pool");
    auto request = request_for("Moving instance", name, requestor);
    if (new_name != name) request.locks.push_back("instance:" + new_name);
    request.body = step([this, name, new_name, pool = post.pool, with_snapshots = !post.instance_only,
                         requestor](const std::stop_token&) -> Result<> {
        if (!pool.empty()) LX_TRY(move_to_pool(impl_->context, name, pool, with_snapshots, requestor));
        return new_name == name ? Result<>{} : rename_instance(impl_->context, name, new_name, requestor);
    });
    return deps_.operations.start(std::move(request));
}

Result<operations::OperationPtr> Service::rebuild(const std::string& name, const api::InstanceSource& source,
                                                  const std::string& requestor) {
    LX_TRY(require(name));
    if (status(name) != api::StatusCode::stopped)
        return fail(Status::bad_request, "Instance must be stopped to be rebuilt");
    const std::string project = api::split_instance_key(name).project;
    std::string fingerprint;
    std::optional<RemoteImage> remote;
    if (source.type == "image" && !source.server.empty()) {
        LX_TRY_AS(remote, remote_image_of(impl_->context, source, "", project));
    } else if (source.type == "image") {
        LX_TRY_AS(const auto image, find_image(impl_->context, source, project));
        fingerprint = image->fingerprint;
    } else if (source.type != "none") {
        return fail(
            Status::bad_request,
            fmt::format("Source type '{}' cannot be rebuilt from: use 'image' or 'none'", source.type));
    }
    auto request = request_for("Rebuilding instance", name, requestor);
    request.may_cancel = remote.has_value();
    request.body = [this, name, fingerprint, remote, requestor](
                       operations::Operation& operation, std::stop_token stop) -> Result<nlohmann::json> {
        std::string chosen = fingerprint;
        if (remote) {
            LX_TRY_AS(const auto image, fetch_image(impl_->context, *remote, operation, stop));
            chosen = image->fingerprint;
        }
        LX_TRY(rebuild_instance(impl_->context, name, chosen, operation, std::move(stop), requestor));
        return nlohmann::json(nullptr);
    };
    return deps_.operations.start(std::move(request));
}

Result<std::vector<api::InstanceSnapshot>> Service::snapshots(const std::string& name) const {
    LX_TRY_AS(const auto record, require(name));
    std::vector<api::InstanceSnapshot> out;
    for (const auto& row : deps_.database.snapshots().list(record->id))
        out.push_back(instances::view(impl_->context, *row));
    return out;
}

Result<api::InstanceSnapshot> Service::snapshot(const std::string& name, const std::string& snapshot) const {
    LX_TRY_AS(const auto row, require_snapshot(impl_->context, name, snapshot));
    return instances::view(impl_->context, *row);
}

Result<operations::OperationPtr> Service::create_snapshot(const std::string& name,
                                                          api::InstanceSnapshotsPost post,
                                                          const std::string& requestor) {
    LX_TRY_AS(const auto record, require(name));
    if (post.stateful) return fail(Status::bad_request, "Stateful snapshots are not supported");
    if (!post.name.empty()) LX_TRY(validate_snapshot_name(post.name));
    if (deps_.database.snapshots().find(record->id, post.name))
        return fail(Status::conflict, fmt::format("Snapshot \"{}/{}\" already exists", name, post.name));
    auto request = request_for("Snapshotting instance", name, requestor);
    request.body = step([this, name, post = std::move(post), requestor](const std::stop_token&) {
        return instances::create_snapshot(impl_->context, name, post, requestor);
    });
    return deps_.operations.start(std::move(request));
}

Result<operations::OperationPtr> Service::rename_snapshot(const std::string& name,
                                                          const std::string& snapshot,
                                                          const std::string& new_name,
                                                          const std::string& requestor) {
    LX_TRY(require_snapshot(impl_->context, name, snapshot));
    LX_TRY(validate_snapshot_name(new_name));
    LX_TRY_AS(const auto record, require(name));
    if (deps_.database.snapshots().find(record->id, new_name))
        return fail(Status::conflict, fmt::format("Snapshot \"{}/{}\" already exists", name, new_name));
    auto request = request_for("Renaming snapshot", name, requestor);
    request.body = step([this, name, snapshot, new_name, requestor](const std::stop_token&) {
        return instances::rename_snapshot(impl_->context, name, snapshot, new_name, requestor);
    });
    return deps_.operations.start(std::move(request));
}

Result<operations::OperationPtr> Service::update_snapshot(const std::string& name,
                                                          const std::string& snapshot, Time expires_at,
                                                          const std::string& requestor) {
    LX_TRY(require_snapshot(impl_->context, name, snapshot));
    auto request = request_for("Updating snapshot", name, requestor);
    request.body = step([this, name, snapshot, expires_at, requestor](const std::stop_token&) {
        return instances::update_snapshot(impl_->context, name, snapshot, expires_at, requestor);
    });
    return deps_.operations.start(std::move(request));
}

Result<operations::OperationPtr> Service::remove_snapshot(const std::string& name,
                                                          const std::string& snapshot,
                                                          const std::string& requestor) {
    LX_TRY(require_snapshot(impl_->context, name, snapshot));
    auto request = request_for("Deleting snapshot", name, requestor);
    request.body = step([this, name, snapshot, requestor](const std::stop_token&) {
        return delete_snapshot(impl_->context, name, snapshot, requestor);
    });
    return deps_.operations.start(std::move(request));
}

}  // namespace lxmgr::instances
