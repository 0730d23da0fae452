#pragma once
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "images/image.h"
#include "lxd-daemon/api/instance.h"
#include "lxd-daemon/api/instance_snapshot.h"
#include "lxd-daemon/api/metrics.h"
#include "lxd-daemon/api/project.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/instances/files.h"
#include "lxd-daemon/instances/guest_sockets.h"
#include "lxd-daemon/instances/networks.h"
#include "lxd-daemon/instances/pools.h"
#include "lxd-daemon/operations/operation.h"
#include "lxd-daemon/runtime/container.h"

namespace lxmgr::events {
class Hub;
}

namespace lxmgr::instances {

class BackupService;     ///< see backups/service.h
class ImageService;      ///< see images/service.h
class MigrationService;  ///< see migration/service.h
class RecoveryService;   ///< see recovery/recovery.h
class VolumeService;     ///< custom volumes, see volumes/service.h

/// What the instances room stands on; all of it outlives the Service.
struct Dependencies {
    database::Database& database;
    runtime::Runtime& runtime;
    Pools& pools;
    Networks& networks;
    operations::Registry& operations;
    operations::WorkerPool& workers;
    events::Hub& events;
    std::string state_dir;
};

/// What one who waits for an instance sees.
struct Waited {
    bool met = false;
    Time ready_at{};                     ///< the epoch: not yet
    std::vector<std::string> addresses;  ///< global ones, when they were asked for
};

/// Lifecycle of instances: what the REST routes call. Reads are from memory and never block; everything that
/// changes an instance is an operation that holds the instance's lock. Thread-safe.
/// Whether an instance is still what the client has seen (If-Match); null: it did not ask for that. Called
/// when nobody else can change it.
using Unchanged = std::function<Result<>(const database::InstanceRecord&)>;

class Service {
public:
    explicit Service(Dependencies dependencies);
    ~Service();
    Service(Service&&) = delete;

    /// What the runtime's listener is to call; both only hand over to the worker pool.
    void exited(const std::string& name, const runtime::ExitStatus& status);
    void ready(const std::string& name, Time at);

    /// After a daemon start: finds running instances, finishes or undoes what a crash interrupted, removes
    /// leftovers.
    Result<> recover();
    /// Lives by the server's config that `store` stores: images and backups are moved to the volumes it names
    /// for them. Errors: nothing has changed.
    Result<> change_config(const api::ConfigMap& config, const std::function<Result<>()>& store);
    /// Others have taken NICs of running instances out of their bridges, or their rules away: all are looked
    /// at.
    void repair_nics();
    /// Starts what should run at daemon start (boot.autostart, or last_state.power RUNNING after a host
    /// boot).
    void autostart();
    /// Nothing is begun any more by itself: it is left to the next start of the daemon.
    void stop_background();
    /// Stops every instance for a host shutdown: in boot.stop.priority order, each with its
    /// boot.host_shutdown_timeout.
    void stop_all();

    // ---- reads
    [[nodiscard]] database::InstancePtr find(const std::string& name) const {
        return deps_.database.instances().find(name);
    }
    /// Of all projects.
    [[nodiscard]] std::vector<database::InstancePtr> list() const {
        return deps_.database.instances().list();
    }
    /// `not_found` "Instance not found".
    Result<database::InstancePtr> require(const std::string& name) const;
    [[nodiscard]] api::Instance view(const database::InstanceRecord& record) const;
    [[nodiscard]] api::StatusCode status(const std::string& name) const;
    /// JSON text of a project's whole list with recursion=1; kept until something changes.
    [[nodiscard]] std::shared_ptr<const std::string> list_json(const std::string& project = "default") const;
    /// Blocking: reads cgroups and network namespaces.
    Result<api::InstanceState> state(const std::string& name) const;
    /// Of all that run. Blocking: reads cgroups and network namespaces.
    [[nodiscard]] std::vector<api::InstanceMetrics> metrics() const;

    // ---- changes; `requestor` is the JSON of the peer for lifecycle events
    Result<operations::OperationPtr> create(api::InstancesPost post, const std::string& requestor);
    Result<operations::OperationPtr> update(const std::string& name, api::InstancePut put,
                                            const std::string& requestor, Unchanged unchanged = nullptr);
    /// Blocking and at once, as PATCH is on the wire.
    Result<> patch(const std::string& name, const api::InstancePatch& patch, const std::string& requestor,
                   const Unchanged& unchanged = nullptr);
    Result<operations::OperationPtr> change_state(const std::string& name, api::InstanceStatePut put,
                                                  const std::string& requestor);
    /// Of every instance of the project that the action has something to do for, side by side, as one
    /// operation.
    Result<operations::OperationPtr> change_state_of_all(const std::string& project,
                                                         api::InstanceStatePut put,
                                                         const std::string& requestor);
    Result<operations::OperationPtr> rename(const std::string& name, const std::string& new_name,
                                            const std::string& requestor);
    Result<operations::OperationPtr> remove(const std::string& name, const std::string& requestor);

    Result<operations::OperationPtr> rebuild(const std::string& name, const api::InstanceSource& source,
                                             const std::string& requestor);
    /// To another pool, under another name, which may be of another project, or both. `post.name` is a key.
    /// Errors: `bad_request` while it runs.
    Result<operations::OperationPtr> move(const std::string& name, const api::InstancePost& post,
                                          const std::string& requestor);

    // ---- snapshots
    /// Oldest first. `not_found` "Instance not found".
    Result<std::vector<api::InstanceSnapshot>> snapshots(const std::string& name) const;
    Result<api::InstanceSnapshot> snapshot(const std::string& name, const std::string& snapshot) const;
    Result<operations::OperationPtr> create_snapshot(const std::string& name, api::InstanceSnapshotsPost post,
                                                     const std::string& requestor);
    Result<operations::OperationPtr> rename_snapshot(const std::string& name, const std::string& snapshot,
                                                     const std::string& new_name,
                                                     const std::string& requestor);
    Result<operations::OperationPtr> update_snapshot(const std::string& name, const std::string& snapshot,
                                                     Time expires_at, const std::string& requestor);
    Result<operations::OperationPtr> remove_snapshot(const std::string& name, const std::string& snapshot,
                                                     const std::string& requestor);

    VolumeService& volumes();
    BackupService& backups();
    ImageService& images();
    MigrationService& migrations();
    RecoveryService& recovery();

    /// Makes a profile what `change` makes of it and applies it to all running instances that use it, or to
    /// none: a failure names the instance, and the old profile is in force again. Nobody else changes the
    /// profile from the call of `change` on. Blocking.
    using ProfileChange = std::function<Result<database::ProfileRecord>(const database::ProfileRecord&)>;
    Result<> update_profile(const std::string& name, const ProfileChange& change,
                            const std::string& requestor);

    /// Replaces a project (by record.id) unless what is in it is more than it allows. Blocking.
    Result<database::ProjectPtr> update_project(const database::ProjectRecord& record);
    /// Whether its project allows a new profile. Errors: `forbidden`.
    Result<> check_profile(const database::ProfileRecord& record) const;
    /// What is used of what its limits.* name.
    [[nodiscard]] api::ProjectState project_state(const database::ProjectRecord& record) const;

    // ---- what the instance's image said (metadata.yaml and templates); blocking
    Result<std::shared_ptr<const images::Metadata>> metadata(const std::string& name) const;
    /// Replaces metadata.yaml; the templates' content stays.
    Result<> replace_metadata(const std::string& name, const images::Metadata& metadata,
                              const std::string& requestor);
    /// Stores a template's content, or removes the template (nullopt): instances/metadata.h.
    Result<> change_template(const std::string& name, const std::string& file,
                             std::optional<std::string> content, const std::string& requestor);

    // ---- what an instance asks about itself through /dev/lxd
    /// Who answers; from now on, also for instances that were found running.
    void serve_guests(GuestServer server);
    /// Keys of the expanded config that an instance may know: user.* and cloud-init.*
    Result<api::ConfigMap> guest_config(const std::string& name) const;
    Result<api::DeviceMap> guest_devices(const std::string& name) const;
    /// For cloud-init: YAML with its instance id.
    Result<std::string> guest_meta_data(const std::string& name) const;
    /// The guest says that it is ready, or no longer. Blocking.
    Result<> set_guest_ready(const std::string& name, bool ready);
    [[nodiscard]] bool is_guest_ready(const std::string& name) const;

    // ---- waiting; blocking. Errors: `not_found`; `bad_request` when it does not run
    /// Readable when addresses change: network/address_watch.h.
    Result<UniqueFd> watch_addresses(const std::string& name) const;
    /// @param addresses  wait for those, and not for readiness
    Result<Waited> look(const std::string& name, bool addresses) const;

    // ---- what exec, console and files stand on
    runtime::Runtime& runtime() { return deps_.runtime; }
    /// Environment for commands: environment.* of the expanded config.
    [[nodiscard]] std::map<std::string, std::string> exec_environment(
        const database::InstanceRecord& record) const;
    /// STATE/logs/NAME
    [[nodiscard]] std::string log_dir(const std::string& name) const;
    [[nodiscard]] std::string console_log_path(const std::string& name) const;
    /// The root for the files API: live of a running instance, else of the mounted volume.
    Result<InstanceRoot> open_root(const std::string& name);
    /// Serves an SFTP client beneath what open_root() gave, until it leaves or the instance stops.
    Result<> serve_sftp(const std::string& name, UniqueFd connection, InstanceRoot root);
    /// Publishes a lifecycle event such as "instance-exec".
    void lifecycle(const std::string& action, const std::string& name, const std::string& requestor,
                   const nlohmann::json& context = nullptr) const;

private:
    Result<operations::OperationPtr> copy(api::InstancesPost post, const std::string& requestor);
    /// Runs `work` as an operation that holds the locks of these instances, and waits for its end.
    Result<> run_locked(const std::string& description, const std::vector<std::string>& names,
                        const std::string& requestor, std::function<Result<>()> work);

    struct Impl;
    Dependencies deps_;
    std::unique_ptr<Impl> impl_;
};

}  // namespace lxmgr::instances
