#include "lxd-daemon/instances/volumes/service.h"

#include <fmt/format.h>

#include <future>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/instances/project_limits.h"
#include "lxd-daemon/instances/projects.h"
#include "lxd-daemon/instances/snapshots.h"
#include "lxd-daemon/instances/steps.h"
#include "lxd-daemon/instances/volume_size.h"
#include "lxd-daemon/instances/volumes/block.h"
#include "lxd-daemon/instances/volumes/steps.h"
#include "lxd-daemon/instances/volumes/users.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

std::string volume(const std::string& key) {
    return fmt::format("storage volume '{}'", api::plain_name(key));
}

std::string lock_of(const VolumeName& name) { return "volume:" + name.pool + "/" + name.name; }

/// What a new volume's request must hold, whatever it is made from.
Result<> check_new(const api::StorageVolumesPost& post) {
    LX_TRY(profiles::validate_volume_name(post.name));
    if (!post.type.empty() && post.type != "custom")
        return fail(Status::bad_request,
                    fmt::format("Currently not allowed to create storage volumes of type \"{}\"", post.type));
    if (!post.content_type.empty() && post.content_type != "filesystem" && post.content_type != kBlockContent)
        return fail(
            Status::bad_request,
            fmt::format(
                "Content type \"{}\" is not supported: volumes are of \"filesystem\" or \"block\" here",
                post.content_type));
    if (post.config) LX_TRY(profiles::validate_volume_config(*post.config));
    return {};
}

}  // namespace

operations::Request volume_request(Context& context, std::string description, const VolumeName& name,
                                   const std::string& requestor, bool with_users) {
    operations::Request request;
    request.description = std::move(description);
    request.resources = {{"storage_volumes", {volume_url(name)}}};
    request.requestor = requestor;
    request.project = name.project;
    request.locks = {lock_of(name)};
    if (!with_users) return request;
    for (const auto& user : VolumeUserIndex(context.deps.database).of(name.pool, name.name).instances)
        request.locks.push_back("instance:" + user);
    return request;
}

Result<> VolumeService::run(operations::Request request, std::function<Result<>()> work) {
    auto outcome = std::make_shared<std::promise<Result<>>>();
    auto result = outcome->get_future();
    request.body = [outcome, work = std::move(work)](operations::Operation&,
                                                     const std::stop_token&) -> Result<nlohmann::json> {
        auto done = work();
        outcome->set_value(done);
        LX_TRY(done);
        return nlohmann::json(nullptr);
    };
    LX_TRY(context_.deps.operations.start(std::move(request)));
    return result.get();
}

Result<> VolumeService::create(const std::string& pool, const api::StorageVolumesPost& post,
                               const std::string& requestor) {
    LX_TRY(check_new(post));
    LX_TRY(context_.deps.pools.driver(pool));
    if (!post.source.type.empty() && post.source.type != "none")
        return fail(Status::bad_request,
                    fmt::format("Source type \"{}\" is not supported: only \"copy\"", post.source.type));
    database::VolumeRecord record;
    record.pool = pool;
    record.name = volume_key(context_, post.in_project, post.name);
    record.description = post.description.value_or("");
    if (!post.content_type.empty()) record.content_type = post.content_type;
    record.config = post.config.value_or(api::ConfigMap{});
    LX_TRY(check_content_keys(record.content_type, record.config));
    if (const auto row = context_.deps.database.pools().find(pool)) {
        for (auto& [key, value] : volume_defaults(row->config)) {
            if (check_content_keys(record.content_type, {{key, value}}))
                record.config.try_emplace(key, value);
        }
    }
    LX_TRY(context_.deps.pools.check_volume_config(pool, record.config));
    const VolumeName name{pool, record.name, post.in_project};
    return run(volume_request(context_, "Creating storage volume", name, requestor, false),
               [&] { return in_room_for(volume(post.name), create_volume(context_, record, requestor)); });
}

Result<> VolumeService::update(const VolumeName& name, const api::StorageVolumePut& put,
                               const std::string& requestor) {
    LX_TRY(require_volume(context_, name));
    if (put.restore.empty())
        return run(volume_request(context_, "Updating storage volume", name, requestor, false),
                   [&] { return update_volume(context_, name, put, requestor); });
    const std::string snapshot = put.restore.substr(put.restore.rfind('/') + 1);
    return run(volume_request(context_, "Restoring storage volume snapshot", name, requestor, false), [&] {
        return in_room_for(volume(name.name), restore_volume(context_, name, snapshot, requestor));
    });
}

Result<> VolumeService::rename(const VolumeName& name, const std::string& new_name,
                               const std::string& requestor) {
    LX_TRY(require_volume(context_, name));
    LX_TRY(profiles::validate_volume_name(new_name));
    const VolumeName to{name.pool, api::object_key(api::split_object_key(name.name).project, new_name)};
    auto request = volume_request(context_, "Renaming storage volume", name, requestor, true);
    request.locks.push_back(lock_of(to));
    return run(std::move(request), [&] { return move_volume(context_, name, to, true, requestor); });
}

Result<> VolumeService::remove(const VolumeName& name, const std::string& requestor) {
    LX_TRY(require_volume(context_, name));
    return run(volume_request(context_, "Deleting storage volume", name, requestor, false),
               [&] { return delete_volume(context_, name, requestor); });
}

Result<> VolumeService::update_snapshot(const VolumeName& name, const std::string& snapshot,
                                        const api::StorageVolumeSnapshotPut& put,
                                        const std::string& requestor) {
    LX_TRY(require_volume_snapshot(context_, name, snapshot));
    return run(volume_request(context_, "Updating storage volume snapshot", name, requestor, false),
               [&] { return update_volume_snapshot(context_, name, snapshot, put, requestor); });
}

Result<operations::OperationPtr> VolumeService::copy(const std::string& pool,
                                                     const api::StorageVolumesPost& post,
                                                     const std::string& requestor) {
    LX_TRY(check_new(post));
    LX_TRY(context_.deps.pools.driver(pool));
    const auto slash = post.source.name.find('/');
    VolumeCopyPlan plan;
    const std::string& from = post.source.project.empty() ? post.in_project : post.source.project;
    plan.source = {post.source.pool.empty() ? pool : post.source.pool,
                   volume_key(context_, from, post.source.name.substr(0, slash)), post.in_project};
    if (slash != std::string::npos) plan.snapshot = post.source.name.substr(slash + 1);
    plan.with_snapshots = !post.source.volume_only;
    plan.refresh = post.source.refresh;
    LX_TRY_AS(const auto source, require_volume(context_, plan.source));
    if (!plan.snapshot.empty()) LX_TRY(require_volume_snapshot(context_, plan.source, plan.snapshot));
    const VolumeName name{pool, volume_key(context_, post.in_project, post.name)};
    const bool taken = context_.deps.database.volumes().find(pool, name.name) != nullptr;
    if (taken && !plan.refresh) return fail(Status::conflict, "Volume by that name already exists");
    if (taken && plan.source.pool == pool && plan.source.name == name.name)
        return fail(Status::bad_request, "A volume cannot be refreshed from itself");
    plan.record.pool = pool;
    plan.record.name = name.name;
    plan.record.content_type = source->content_type;
    if (!post.content_type.empty() && post.content_type != source->content_type)
        return fail(Status::bad_request,
                    fmt::format("The source is of content type \"{}\"", source->content_type));
    plan.record.description = post.description.value_or(source->description);
    plan.record.config = post.config.value_or(source->config);
    context_.deps.pools.drop_foreign_keys(pool, plan.record.config);
    LX_TRY(context_.deps.pools.check_volume_config(pool, plan.record.config));
    auto request = volume_request(context_, "Copying storage volume", plan.source, requestor, true);
    request.resources = {{"storage_volumes", {volume_url(name)}}};
    request.locks.push_back(lock_of(name));
    request.body = step([this, plan = std::move(plan), requestor](const std::stop_token&) {
        return in_room_for(volume(plan.record.name), copy_volume(context_, plan, requestor));
    });
    return context_.deps.operations.start(std::move(request));
}

Result<operations::OperationPtr> VolumeService::move(const VolumeName& name, const VolumeName& to,
                                                     bool with_snapshots, const std::string& requestor) {
    LX_TRY_AS(const auto row, require_volume(context_, name));
    LX_TRY(profiles::validate_volume_name(api::plain_name(to.name)));
    LX_TRY(context_.deps.pools.driver(to.pool));
    if (context_.deps.database.volumes().find(to.pool, to.name))
        return fail(Status::conflict, "Volume by that name already exists");
    LX_TRY(context_.volume_mounts.hold(row->id));
    auto request = volume_request(context_, "Moving storage volume", name, requestor, true);
    request.locks.push_back(lock_of(to));
    request.body = step([this, name, to, with_snapshots, requestor](const std::stop_token&) {
        return in_room_for(volume(to.name), move_volume(context_, name, to, with_snapshots, requestor));
    });
    return context_.deps.operations.start(std::move(request));
}

Result<operations::OperationPtr> VolumeService::create_snapshot(const VolumeName& name,
                                                                const api::StorageVolumeSnapshotsPost& post,
                                                                const std::string& requestor) {
    LX_TRY_AS(const auto row, require_volume(context_, name));
    if (!post.name.empty()) LX_TRY(validate_snapshot_name(post.name));
    LX_TRY(check_snapshots_allowed(context_, name.project));
    if (context_.deps.database.volumes().find_snapshot(row->id, post.name))
        return fail(Status::conflict, fmt::format("Snapshot \"{}\" already in use", post.name));
    auto request = volume_request(context_, "Creating storage volume snapshot", name, requestor, true);
    request.body = step([this, name, post, requestor](const std::stop_token&) {
        return in_room_for(fmt::format("snapshot of storage volume '{}'", name.name),
                           create_volume_snapshot(context_, name, post, requestor));
    });
    return context_.deps.operations.start(std::move(request));
}

Result<operations::OperationPtr> VolumeService::rename_snapshot(const VolumeName& name,
                                                                const std::string& snapshot,
                                                                const std::string& new_name,
                                                                const std::string& requestor) {
    LX_TRY(require_volume_snapshot(context_, name, snapshot));
    LX_TRY(validate_snapshot_name(new_name));
    auto request = volume_request(context_, "Renaming storage volume snapshot", name, requestor, false);
    request.body = step([this, name, snapshot, new_name, requestor](const std::stop_token&) {
        return rename_volume_snapshot(context_, name, snapshot, new_name, requestor);
    });
    return context_.deps.operations.start(std::move(request));
}

Result<operations::OperationPtr> VolumeService::remove_snapshot(const VolumeName& name,
                                                                const std::string& snapshot,
                                                                const std::string& requestor) {
    LX_TRY(require_volume_snapshot(context_, name, snapshot));
    auto request = volume_request(context_, "Deleting storage volume snapshot", name, requestor, false);
    request.body = step([this, name, snapshot, requestor](const std::stop_token&) {
        return delete_volume_snapshot(context_, name, snapshot, requestor);
    });
    return context_.deps.operations.start(std::move(request));
}

}  // namespace lxmgr::instances
