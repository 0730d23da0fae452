#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "lxd-daemon/instances/apparmor_policy.h"
#include "lxd-daemon/instances/guest_files.h"
#include "lxd-daemon/instances/guest_sockets.h"
#include "lxd-daemon/instances/host_warnings.h"
#include "lxd-daemon/instances/hot_devices.h"
#include "lxd-daemon/instances/idmaps.h"
#include "lxd-daemon/instances/images/remote.h"
#include "lxd-daemon/instances/limits.h"
#include "lxd-daemon/instances/live.h"
#include "lxd-daemon/instances/metadata_cache.h"
#include "lxd-daemon/instances/named_turns.h"
#include "lxd-daemon/instances/restarts.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/instances/sftp/sessions.h"
#include "lxd-daemon/instances/snapshot_timer.h"
#include "lxd-daemon/instances/stopped_roots.h"
#include "lxd-daemon/instances/volumes/mounts.h"

/// Private to the room: what its files share.
namespace lxmgr::instances {

struct Context {
    explicit Context(Dependencies dependencies) : deps(std::move(dependencies)) {}
    Dependencies deps;
    LiveStates live;
    CpuPlacement cpus;
    ImageDownloads image_downloads;
    NamedTurns device_turns;  ///< of an instance: who changes what its run has, and the end of the run
    KeyedMutex images;        ///< "POOL/FINGERPRINT": an image is unpacked once
    StoppedRoots stopped_roots;
    VolumeMounts volume_mounts;
    MetadataCache metadata_cache;
    sftp::Sessions sftp_sessions;
    GuestSockets guest_sockets;
    HostIds host_ids = HostIds::read();
    AppArmorPolicies apparmor{deps.state_dir + "/apparmor"};
    HostProblem apparmor_problem{"AppArmor support has been disabled"};
    HostProblem lxcfs_problem{"LXCFS is not available"};
    std::mutex idmap_mutex;               ///< held from the choice of an id map until it is stored
    SnapshotTimer snapshot_timer{*this};  ///< to be told of every change of what it watches
    Restarts restarts;
    HotDevices hot_devices{*this};  ///< to be told of the devices of every run
    std::atomic<bool> host_shutdown =
        false;  ///< instances that stop now are to run again after the host's boot

    runtime::Lxcfs lxcfs{deps.state_dir + "/lxcfs", lxcfs_hooks(*this)};  ///< last: its thread uses the rest

    [[nodiscard]] database::Instances& rows() const { return deps.database.instances(); }
    [[nodiscard]] std::string run_dir(const std::string& name) const {
        return deps.state_dir + "/run/" + name;
    }
    [[nodiscard]] std::string log_dir(const std::string& name) const {
        return deps.state_dir + "/logs/" + name;
    }
    [[nodiscard]] std::string console_log(const std::string& name) const {
        return log_dir(name) + "/console.log";
    }
    /// Publishes a lifecycle event; `context` is JSON text or empty.
    void lifecycle(const std::string& action, const std::string& name, const std::string& requestor,
                   const nlohmann::json& context) const;
};

/// `not_found` "Instance not found".
Result<database::InstancePtr> require(const Context& context, const std::string& name);

/// Config and devices after the profiles; profiles that are gone count as empty.
struct ExpandedInstance {
    api::ConfigMap config;
    api::DeviceMap devices;
};
ExpandedInstance expand(const Context& context, const database::InstanceRecord& record);
api::Instance view(const Context& context, const database::InstanceRecord& record);

// Blocking steps; the caller's operation holds the lock "instance:NAME".
Result<> start_instance(Context& context, const std::string& name, const std::string& requestor);
/// @param timeout none: wait as long as it takes
Result<> stop_instance(Context& context, const std::string& name, bool force,
                       std::optional<std::chrono::seconds> timeout, const std::string& requestor,
                       std::stop_token stop);
Result<> freeze_instance(Context& context, const std::string& name, const std::string& requestor);
Result<> unfreeze_instance(Context& context, const std::string& name, const std::string& requestor);
Result<> update_instance(Context& context, const std::string& name, const api::InstancePut& put,
                         const std::string& requestor);
Result<> rename_instance(Context& context, const std::string& name, const std::string& new_name,
                         const std::string& requestor);
Result<> delete_instance(Context& context, const std::string& name, const std::string& requestor);

/// Every check of a record that is to be stored in place of one: profiles, keys, devices, the pool of its
/// root; completes what devices keep in volatile.*.
Result<> check_record(Context& context, database::InstanceRecord& record);

/// What POST /1.0/instances was turned into after all checks that need no disk.
struct CreatePlan {
    database::InstanceRecord record;
    std::string fingerprint;            ///< of the image; empty: an empty root (source none)
    std::optional<RemoteImage> remote;  ///< the image is to be fetched first
    bool own_profiles = true;           ///< the client said which
    std::string requestor;
    bool start = false;
};
Result<CreatePlan> plan_create(Context& context, api::InstancesPost post);
/// The plan of an instance of a remote image, once that is here.
Result<> complete_plan(Context& context, CreatePlan& plan, const database::ImageRecord& image);
Result<> create_instance(Context& context, const CreatePlan& plan, operations::Operation& operation,
                         std::stop_token stop);

/// One that instances of the project may use.
Result<database::ImagePtr> find_image(const Context& context, const api::InstanceSource& source,
                                      const std::string& project);
/// A root volume for the instance from the image: a layer over the image unpacked once per pool, or, for an
/// instance with security.nesting, files of its own.
/// @param operation shows the progress; may be null
Result<> make_image_root(Context& context, storage::Driver& driver, const storage::Volume& volume,
                         const database::InstanceRecord& record, const database::ImageRecord& image,
                         operations::Operation* operation, std::stop_token stop);
/// Keys of profiles, each of which must exist, once. Errors: `bad_request`.
Result<> check_profiles(const Context& context, const std::vector<std::string>& keys);
/// volatile.* of a new instance, as LXD sets them. `trigger` is the template trigger: "create" or "copy".
void add_volatile(database::InstanceRecord& record, const std::string& fingerprint,
                  const std::string& trigger);
/// What creating and copying have in common: checks the merged whole, and the name.
Result<> check_new_record(Context& context, database::InstanceRecord& record);

/// After the container has ended by itself or by us: releases its devices, records the exit, wakes waiters.
void handle_exit(Context& context, const std::string& name, const runtime::ExitStatus& status);

/// Moves instances with limits.cpu=N to CPUs that fewer others hold, in the background.
void rebalance_cpus(Context& context);

/// Undoes or finishes what the intents of the previous daemon say.
void recover_intents(Context& context);
/// Finds running instances again.
void recover_running(Context& context);

Result<api::InstanceState> instance_state(const Context& context, const database::InstanceRecord& record);
/// The interfaces of a running instance by their names inside.
Result<std::map<std::string, api::InstanceNetwork>> networks_of(const Context& context,
                                                                const database::InstanceRecord& record);
/// What is counted for it; nullopt while it does not run.
std::optional<api::InstanceMetrics> instance_metrics(const Context& context,
                                                     const database::InstanceRecord& record);

}  // namespace lxmgr::instances
