#include "lxd-daemon/instances/service.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <map>
#include <nlohmann/json.hpp>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/apparmor.h"
#include "lxd-daemon/instances/backups/steps.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/own_idmap.h"
#include "lxd-daemon/instances/service_impl.h"
#include "lxd-daemon/instances/snapshots.h"
#include "lxd-daemon/instances/steps.h"
#include "lxd-daemon/operations/worker_pool.h"
#include "network/nic_rules.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

/// The kernel's word of an init's end takes so long to be handled at most.
constexpr std::chrono::seconds kEndNoticed{10};

Result<> check_unchanged(Context& context, const std::string& name, const Unchanged& unchanged) {
    if (!unchanged) return {};
    LX_TRY_AS(const auto record, require(context, name));
    return unchanged(*record);
}

}  // namespace

Service::Service(Dependencies dependencies)
    : deps_(dependencies), impl_(std::make_unique<Impl>(std::move(dependencies))) {}
Service::~Service() {
    if (!impl_->recovering) end_idle_lxcfs(impl_->context);
}

void Service::exited(const std::string& name, const runtime::ExitStatus& status) {
    {
        const std::lock_guard lock(impl_->early_mutex);
        if (impl_->recovering) {
            impl_->early_exits.emplace_back(name, status);
            return;
        }
    }
    deps_.workers.post([this, name, status] { handle_exit(impl_->context, name, status); });
}

void Service::ready(const std::string& name, Time at) {
    impl_->context.live.set_ready(name, at);
    deps_.workers.post([this, name] { lifecycle("instance-ready", name, ""); });
}

Result<> Service::recover() {
    LX_TRY(lxmgr::make_directory(deps_.state_dir + "/run", 0711));
    LX_TRY(lxmgr::make_directory(deps_.state_dir + "/logs", 0700));
    for (const auto& [volume, key] : deps_.pools.kept_files().reserved())
        LX_TRY(impl_->context.volume_mounts.reserve(volume, key));
    recover_running(impl_->context);
    recover_intents(impl_->context);
    remove_unknown_snapshot_volumes(impl_->context);
    remove_unknown_backup_files(impl_->context);
    // Those that ended while no daemon was there: recorded before anything asks who was running.
    std::vector<std::pair<std::string, runtime::ExitStatus>> exits;
    {
        const std::lock_guard lock(impl_->early_mutex);
        impl_->recovering = false;
        exits.swap(impl_->early_exits);
    }
    for (const auto& [name, status] : exits) handle_exit(impl_->context, name, status);
    deps_.workers.post([] {
        if (auto swept = network::sweep_nic_rules(); !swept)
            log::warn("rules of NICs not swept", {{"error", swept.error().message}});
    });
    impl_->context.snapshot_timer.begin();
    impl_->notes.begin();
    recover_lxcfs(impl_->context);
    note_apparmor(impl_->context);
    return {};
}

Result<> Service::change_config(const api::ConfigMap& config, const std::function<Result<>()>& store) {
    const operations::WorkerPool::Waiting waiting(deps_.workers);
    return deps_.pools.kept_files().change(config, impl_->context.volume_mounts, store);
}

Result<database::InstancePtr> Service::require(const std::string& name) const {
    return instances::require(impl_->context, name);
}
api::Instance Service::view(const database::InstanceRecord& record) const {
    return instances::view(impl_->context, record);
}
api::StatusCode Service::status(const std::string& name) const {
    return impl_->context.live.get(name).status;
}

std::shared_ptr<const std::string> Service::list_json(const std::string& project) const {
    const std::array key{deps_.database.instances().generation(), deps_.database.profiles().generation(),
                         impl_->context.live.generation()};
    const std::lock_guard lock(impl_->list_mutex);
    if (impl_->list_key != key) impl_->list_texts.clear();
    if (const auto kept = impl_->list_texts.find(project); kept != impl_->list_texts.end())
        return kept->second;
    std::string text = "[";
    for (const auto& record : deps_.database.instances().list()) {
        if (!api::is_of_project(record->name, project)) continue;
        if (text.size() > 1) text += ',';
        text += api::to_json_text(view(*record));
    }
    text += ']';
    impl_->list_key = key;
    return impl_->list_texts[project] = std::make_shared<const std::string>(std::move(text));
}

Result<api::InstanceState> Service::state(const std::string& name) const {
    LX_TRY_AS(const auto record, require(name));
    return instance_state(impl_->context, *record);
}

std::vector<api::InstanceMetrics> Service::metrics() const {
    std::vector<api::InstanceMetrics> all;
    for (const auto& record : deps_.database.instances().list()) {
        if (auto metrics = instance_metrics(impl_->context, *record)) all.push_back(*std::move(metrics));
    }
    return all;
}

Result<operations::OperationPtr> Service::create(api::InstancesPost post, const std::string& requestor) {
    if (post.source.type == "copy") return copy(std::move(post), requestor);
    LX_TRY_AS(auto plan, plan_create(impl_->context, std::move(post)));
    impl_->context.lxcfs.expect();  // a start follows soon, most often
    plan.requestor = requestor;
    auto request = request_for("Creating instance", plan.record.name, requestor);
    request.may_cancel = plan.remote.has_value();
    request.body = [this, plan = std::move(plan)](operations::Operation& operation,
                                                  std::stop_token stop) -> Result<nlohmann::json> {
        CreatePlan whole = plan;
        if (plan.remote) {
            LX_TRY_AS(const auto image, fetch_image(impl_->context, *plan.remote, operation, stop));
            LX_TRY(complete_plan(impl_->context, whole, *image));
        }
        LX_TRY(create_instance(impl_->context, whole, operation, std::move(stop)));
        return nlohmann::json(nullptr);
    };
    return deps_.operations.start(std::move(request));
}

Result<operations::OperationPtr> Service::update(const std::string& name, api::InstancePut put,
                                                 const std::string& requestor, Unchanged unchanged) {
    LX_TRY(require(name));
    if (!put.restore.empty()) {
        // "X/S" or "S"
        const std::string wanted = put.restore.substr(put.restore.rfind('/') + 1);
        if (put.stateful) return fail(Status::bad_request, "Stateful restores are not supported");
        LX_TRY(require_snapshot(impl_->context, name, wanted));
        auto restore = request_for("Restoring snapshot", name, requestor);
        restore.body = step([this, name, wanted, requestor, unchanged](const std::stop_token&) -> Result<> {
            LX_TRY(check_unchanged(impl_->context, name, unchanged));
            return restore_snapshot(impl_->context, name, wanted, requestor);
        });
        return deps_.operations.start(std::move(restore));
    }
    auto request = request_for("Updating instance", name, requestor);
    request.body = step([this, name, put = std::move(put), requestor,
                         unchanged = std::move(unchanged)](const std::stop_token&) -> Result<> {
        LX_TRY(check_unchanged(impl_->context, name, unchanged));
        return update_instance(impl_->context, name, put, requestor);
    });
    return deps_.operations.start(std::move(request));
}

Result<> Service::patch(const std::string& name, const api::InstancePatch& patch,
                        const std::string& requestor, const Unchanged& unchanged) {
    LX_TRY(require(name));
    return run_locked("Updating instance", {name}, requestor, [&]() -> Result<> {
        LX_TRY(check_unchanged(impl_->context, name, unchanged));
        LX_TRY_AS(const auto record, require(name));
        const api::InstancePut current{.architecture = record->architecture,
                                       .description = record->description,
                                       .config = record->config,
                                       .devices = record->devices,
                                       .ephemeral = record->ephemeral,
                                       .stateful = false,
                                       .profiles = api::plain_names(record->profiles),
                                       .restore = ""};
        return update_instance(impl_->context, name, api::apply_patch(patch, current), requestor);
    });
}

Result<> Service::run_locked(const std::string& description, const std::vector<std::string>& names,
                             const std::string& requestor, std::function<Result<>()> work) {
    operations::Request request;
    request.description = description;
    request.resources = {{"instances", names}};
    request.requestor = requestor;
    for (const auto& name : names) request.locks.push_back("instance:" + name);
    return run_and_wait(deps_.operations, std::move(request), std::move(work));
}

Result<> run_and_wait(operations::Registry& operations, operations::Request request,
                      std::function<Result<>()> work) {
    auto outcome = std::make_shared<std::promise<Result<>>>();
    auto result = outcome->get_future();
    request.body = [outcome, work = std::move(work)](operations::Operation&,
                                                     const std::stop_token&) -> Result<nlohmann::json> {
        auto done = work();
        outcome->set_value(done);
        LX_TRY(done);
        return nlohmann::json(nullptr);
    };
    LX_TRY(operations.start(std::move(request)));
    const operations::WorkerPool::Waiting waiting(operations.workers());
    return result.get();
}

Result<operations::OperationPtr> Service::rename(const std::string& name, const std::string& new_name,
                                                 const std::string& requestor) {
    LX_TRY(require(name));
    LX_TRY(profiles::validate_instance_name(api::instance_name(new_name)));
    if (find(new_name)) return fail(Status::conflict, fmt::format("Name \"{}\" already in use", new_name));
    auto request = request_for("Renaming instance", name, requestor);
    request.locks.push_back("instance:" + new_name);
    request.body = step([this, name, new_name, requestor](const std::stop_token&) {
        return rename_instance(impl_->context, name, new_name, requestor);
    });
    return deps_.operations.start(std::move(request));
}

Result<operations::OperationPtr> Service::remove(const std::string& name, const std::string& requestor) {
    LX_TRY(require(name));
    if (status(name) != api::StatusCode::stopped) return fail(Status::bad_request, "Instance is running");
    auto request = request_for("Deleting instance", name, requestor);
    request.body = step([this, name, requestor](const std::stop_token&) {
        return delete_instance(impl_->context, name, requestor);
    });
    return deps_.operations.start(std::move(request));
}

std::map<std::string, std::string> Service::exec_environment(const database::InstanceRecord& record) const {
    constexpr std::string_view kPrefix = "environment.";
    std::map<std::string, std::string> out;
    for (const auto& [key, value] : expand(impl_->context, record).config) {
        if (key.starts_with(kPrefix)) out[key.substr(kPrefix.size())] = value;
    }
    return out;
}

std::string Service::log_dir(const std::string& name) const { return impl_->context.log_dir(name); }
std::string Service::console_log_path(const std::string& name) const {
    return impl_->context.console_log(name);
}

Result<InstanceRoot> Service::open_root(const std::string& name) {
    LX_TRY_AS(const auto record, require(name));
    if (status(name) != api::StatusCode::stopped) {
        auto live = deps_.runtime.open_root(name);
        if (live)
            return InstanceRoot{std::move(*live), current_idmap(impl_->context, record->config), nullptr};
        // Between the end of its init and our having noticed it.
        const bool ends = live.error().status == Status::not_found;
        if (!ends || !impl_->context.live.wait_stopped(name, kEndNoticed, {}))
            return std::unexpected(std::move(live).error());
    }
    LX_TRY_AS(const DriverPtr driver, deps_.pools.driver(record->pool));
    auto idmap = next_idmap(impl_->context, record->config);
    LX_TRY_AS(auto mount, impl_->context.stopped_roots.get(*driver, *record, idmap));
    UniqueFd fd(::fcntl(mount->get(), F_DUPFD_CLOEXEC, 0));
    if (!fd) return fail_errno("fcntl", name);
    return InstanceRoot{std::move(fd), std::move(idmap), std::move(mount)};
}

Result<> Service::serve_sftp(const std::string& name, UniqueFd connection, InstanceRoot root) {
    return impl_->context.sftp_sessions.serve(name, std::move(connection), std::move(root));
}

void Service::lifecycle(const std::string& action, const std::string& name, const std::string& requestor,
                        const nlohmann::json& context) const {
    impl_->context.lifecycle(action, name, requestor, context);
}

}  // namespace lxmgr::instances
