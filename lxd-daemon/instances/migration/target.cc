#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "images/metadata_json.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/backups/steps.h"
#include "lxd-daemon/instances/device_steps.h"
#include "lxd-daemon/instances/kept_addresses.h"
#include "lxd-daemon/instances/migration/steps.h"
#include "lxd-daemon/instances/names.h"
#include "lxd-daemon/instances/own_idmap.h"
#include "lxd-daemon/instances/project_limits.h"
#include "lxd-daemon/instances/projects.h"
#include "lxd-daemon/instances/snapshots.h"
#include "lxd-daemon/instances/volume_size.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

Result<> check_arriving_post(const api::InstancesPost& post) {
    if (!post.type.empty() && post.type != "container") {
        return fail(Status::bad_request,
                    fmt::format("Instance type '{}' is not supported: only containers", post.type));
    }
    if (post.stateful || post.source.live)
        return fail(Status::bad_request,
                    "Live migration is not supported: stop the instance, or copy it stateless");
    return {};
}

bool is_same_moment(Time one, Time other) {
    using std::chrono::floor, std::chrono::seconds;  // whole seconds are what the wire carries
    return floor<seconds>(one) == floor<seconds>(other);
}

/// What arrives into new volumes of a pool, until it is stored.
class Arrival {
public:
    Arrival(Context& context, const ArrivalPlan& plan, std::string pool)
        : context_(context), plan_(plan), pool_(std::move(pool)) {}
    Arrival(Arrival&&) = delete;
    ~Arrival() {
        for (const auto& row : rows_) delete_snapshot_volume(context_, pool_, row.volume);
    }

    /// @param root  gets the instance itself; last
    Result<> take(const migration::Header& offer, const migration::Header& answer,
                  const storage::Volume& root, ArrivingVolumes& volumes) {
        LX_TRY_AS(auto rows, arriving_snapshots(context_, plan_, pool_, answer));
        const auto limit = limit_of_arriving_snapshots(context_, project_of(plan_.record), root.size_bytes);
        for (std::size_t i = 0; i < rows.size(); ++i) {
            auto volume = new_snapshot_volume();
            volume.size_bytes = limit;
            rows[i].volume = volume.name;
            rows_.push_back(rows[i]);
            LX_TRY_AS(const auto idmap, source_idmap(answer.snapshots[i].config));
            LX_TRY_AS(const UniqueFd tree, make_instance_tree({}));
            LX_TRY(in_room_for(fmt::format("snapshot '{}/{}'", plan_.record.name, rows[i].name),
                               volumes.add(volume, tree.get(), idmap, answer.snapshots[i].identity)));
        }
        LX_TRY_AS(const auto idmap, source_idmap(offer.idmap));
        LX_TRY_AS(const UniqueFd tree, make_instance_tree({}));
        LX_TRY(in_room_for(fmt::format("instance '{}'", plan_.record.name),
                           volumes.add(root, tree.get(), idmap)));
        LX_TRY_AS(metadata_, volumes.metadata(tree.get()));
        return {};
    }
    /// Inside a transaction.
    Result<> store(std::int64_t instance_id) {
        for (auto& row : rows_) {
            row.instance_id = instance_id;
            LX_TRY(context_.deps.database.snapshots().create(row));
        }
        return {};
    }
    void keep() { rows_.clear(); }
    [[nodiscard]] const images::Metadata& metadata() const { return metadata_; }

private:
    Context& context_;
    const ArrivalPlan& plan_;
    std::string pool_;
    std::vector<database::SnapshotRecord> rows_;
    images::Metadata metadata_;
};

/// Stores the instance whose volumes are there.
Result<> store_arrival(Context& context, const ArrivalPlan& plan, Arrival& arrival, std::int64_t intent) {
    auto& database = context.deps.database;
    database::InstanceRecord record = plan.record;
    const auto expanded = expand(context, record);
    auto idmap_lock = lock_idmaps(context, expanded.config);
    LX_TRY(assign_idmap(context, expanded.config, record));
    record.config["volatile.idmap.current"] = record.config["volatile.idmap.next"];
    return database.transaction([&]() -> Result<> {
        LX_TRY(check_in_project(context, record));
        LX_TRY_AS(record.metadata_id,
                  database.metadata_sets().add(images::encode_metadata(arrival.metadata())));
        LX_TRY_AS(const auto row, context.rows().create(record));
        LX_TRY(arrival.store(row->id));
        return database.intents().remove(intent);
    });
}

/// The image that the source names, if it is here for instances of that project.
database::ImagePtr base_image(const Context& context, const database::InstanceRecord& record,
                              const std::string& fingerprint) {
    const auto image = context.deps.database.images().find(fingerprint);
    const bool usable = image && database::is_visible(*image, image_project(context, project_of(record)));
    return usable ? image : nullptr;
}

migration::Header all_of(const migration::Header& offer, bool with_snapshots) {
    migration::Header answer;
    if (!with_snapshots) return answer;
    answer.snapshot_names = offer.snapshot_names;
    answer.snapshots = offer.snapshots;
    return answer;
}

}  // namespace

Result<ArrivalPlan> plan_arrival(Context& context, api::InstancesPost post) {
    LX_TRY(check_arriving_post(post));
    ArrivalPlan plan;
    auto& record = plan.record;
    const std::string name = post.name.empty() ? random_name() : post.name;
    LX_TRY(profiles::validate_instance_name(name));
    record.name = api::instance_key(post.in_project, name);
    plan.with_snapshots = !post.source.instance_only;
    plan.start = post.start;
    plan.refresh = post.source.refresh && context.rows().find(record.name);
    if (plan.refresh && context.live.get(record.name).status != api::StatusCode::stopped)
        return fail(Status::bad_request, "Cannot refresh a running instance");
    if (plan.refresh) return plan;
    plan.same_one = post.config.contains("volatile.uuid");
    const api::ConfigMap kept = keys_to_keep(context, post.config);
    LX_TRY(profiles::validate_instance_config(kept, true));
    LX_TRY(profiles::validate_devices(post.devices, false));
    record.profiles = profile_keys(context, project_of(record), post.profiles);
    LX_TRY(check_profiles(context, record.profiles));
    record.description = post.description;
    record.architecture = post.architecture.empty() ? "x86_64" : post.architecture;
    record.ephemeral = post.ephemeral;
    record.created_at = now();
    record.devices = std::move(post.devices);
    record.config = kept;
    LX_TRY(check_new_record(context, record));
    const std::string base = api::value_of(kept, "volatile.base_image", post.source.base_image);
    add_volatile(record, base, "copy");
    for (const auto& [key, value] : kept) record.config[key] = value;
    record.config["volatile.apply_template"] = "copy";
    const auto expanded = expand(context, record);
    LX_TRY(assign_idmap(context, expanded.config, record));  // a look whether it can be, as for creating
    LX_TRY(prepare_devices(context, expanded.devices, record));
    return plan;
}

Result<std::vector<database::SnapshotRecord>> arriving_snapshots(Context& context, const ArrivalPlan& plan,
                                                                 const std::string& pool,
                                                                 const migration::Header& offer) {
    std::vector<database::SnapshotRecord> out;
    std::set<std::string> names;
    for (const auto& snapshot : offer.snapshots) {
        LX_TRY(validate_snapshot_name(snapshot.name));
        if (!names.insert(snapshot.name).second)
            return fail(Status::bad_request, fmt::format("Snapshot '{}' comes twice", snapshot.name));
        if (snapshot.stateful)
            return fail(Status::bad_request,
                        fmt::format("Snapshot '{}' holds processes, which is not supported", snapshot.name));
        database::SnapshotRecord row;
        row.name = snapshot.name;
        row.architecture = snapshot.architecture.empty() ? plan.record.architecture : snapshot.architecture;
        row.config = keys_to_keep(context, snapshot.config);
        if (!plan.same_one) {
            std::erase_if(row.config, [](const auto& entry) {
                return entry.first.starts_with("volatile.") && entry.first != "volatile.base_image";
            });
            row.config["volatile.apply_template"] = "copy";
        }
        row.devices = snapshot.devices;
        for (const auto& key : profiles_there(context, project_of(plan.record), snapshot.profiles)) {
            if (std::ranges::find(row.profiles, key) == row.profiles.end()) row.profiles.push_back(key);
        }
        row.ephemeral = snapshot.ephemeral;
        row.created_at = snapshot.created_at == Time{} ? now() : snapshot.created_at;
        row.last_used_at = snapshot.last_used_at;
        row.expires_at = snapshot.expires_at;
        LX_TRY(profiles::validate_instance_config(row.config, true));
        LX_TRY(profiles::validate_devices(row.devices, false));
        follow_to_pool(context, row, pool);
        out.push_back(std::move(row));
    }
    return out;
}

Result<> receive_instance(Context& context, const ArrivalPlan& plan, migration::Link& link,
                          operations::Operation& operation, std::stop_token stop) {
    const auto& record = plan.record;
    auto& database = context.deps.database;
    if (context.rows().find(record.name))
        return fail(Status::conflict, fmt::format("Instance \"{}\" already exists", record.name));
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record.pool));
    LX_TRY_AS(const auto intent,
              database.intents().add("create-instance", {{"pool", record.pool}, {"name", record.name}}));
    const storage::Volume root = new_root(context, record);
    Revert undo;
    undo.add([&] {
        auto removed = driver->delete_volume(root);
        if (removed) removed = database.intents().remove(intent);
        if (!removed) log::error("arrival not undone", {{"error", removed.error().message}});
    });
    failpoint("instances.migration.intent");
    Arrival arrival(context, plan, record.pool);
    const migration::TargetSteps steps{
        .choose = [&](const migration::Header& offer) -> Result<migration::Header> {
            auto answer = all_of(offer, plan.with_snapshots);
            const bool from_nothing = !base_image(context, record, offer.base);
            if (from_nothing) answer.streams = form_to_take(*driver, offer.streams);
            answer.whole = offer.whole && from_nothing && answer.streams.empty();
            LX_TRY(arriving_snapshots(context, plan, record.pool, answer));
            return answer;
        },
        .receive = [&](const migration::Header& offer, const migration::Header& answer) -> Result<> {
            ArrivingVolumes volumes(
                context, record.pool,
                {link, *answer.rsync, show_progress(operation, std::string(api::instance_name(record.name))),
                 stop});
            const auto image = base_image(context, record, offer.base);
            if (!answer.streams.empty()) {
                LX_TRY(volumes.take_streams({}));
            } else if (answer.whole) {
                volumes.take_first_whole();
            } else if (image) {
                volumes.begin_with_image([&, image](const storage::Volume& volume) {
                    return make_image_root(context, *driver, volume, record, *image, &operation, stop);
                });
            }
            LX_TRY(arrival.take(offer, answer, root, volumes));
            failpoint("instances.migration.arrived");
            LX_TRY(store_arrival(context, plan, arrival, intent));
            arrival.keep();
            undo.commit();
            failpoint("instances.migration.row");
            return {};
        },
        .compress = context.deps.pools.compresses(record.pool)};
    LX_TRY(migration::talk_as_target(link, steps));
    if (!plan.start) settle_addresses(context, record.name);
    context.snapshot_timer.poke();
    context.lifecycle("instance-created", record.name, plan.requestor,
                      {{"type", "container"}, {"storage-pool", record.pool}});
    return plan.start ? start_instance(context, record.name, plan.requestor) : Result<>{};
}

Result<> receive_refresh(Context& context, const ArrivalPlan& plan, migration::Link& link,
                         operations::Operation& operation, std::stop_token stop) {
    const std::string& name = plan.record.name;
    auto& database = context.deps.database;
    LX_TRY_AS(const auto target, require(context, name));
    if (context.live.get(name).status != api::StatusCode::stopped)
        return fail(Status::bad_request, "Cannot refresh a running instance");
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(target->pool));
    const auto fresh = as_root(context, *target, new_snapshot_volume());
    Revert undo;
    undo.add([&] { delete_snapshot_volume(context, target->pool, fresh.name); });
    Arrival arrival(context, plan, target->pool);
    std::vector<database::SnapshotPtr> gone;
    std::optional<storage::Volume> base;  ///< of streams
    const auto choose = [&](const migration::Header& offer) -> Result<migration::Header> {
        migration::Header answer;
        answer.refresh = true;
        if (!plan.with_snapshots) return answer;
        std::set<std::string> kept;
        for (const auto& snapshot : offer.snapshots) {
            const auto mine = database.snapshots().find(target->id, snapshot.name);
            const bool same = mine && is_same_moment(mine->created_at, snapshot.created_at);
            if (same) {
                kept.insert(snapshot.name);
                begin_with_common(*driver, {storage::VolumeType::snapshot, mine->volume}, snapshot,
                                  offer.streams, answer, base);
                continue;
            }
            answer.snapshot_names.push_back(snapshot.name);
            answer.snapshots.push_back(snapshot);
        }
        for (const auto& mine : database.snapshots().list(target->id)) {
            if (!kept.contains(mine->name)) gone.push_back(mine);
        }
        LX_TRY(arriving_snapshots(context, plan, target->pool, answer));
        return answer;
    };
    const auto receive = [&](const migration::Header& offer, const migration::Header& answer) -> Result<> {
        ArrivingVolumes volumes(
            context, target->pool,
            {link, *answer.rsync, show_progress(operation, std::string(api::instance_name(name))), stop});
        if (!answer.streams.empty()) LX_TRY(volumes.take_streams(base));
        volumes.begin_with({storage::VolumeType::container, name});
        LX_TRY(arrival.take(offer, answer, fresh, volumes));
        failpoint("instances.migration.refreshed");
        // Its root and its snapshots each are whole, whichever came first: a crash between needs no undoing.
        const auto stored = database.transaction([&]() -> Result<> {
            LX_TRY(context.rows().change_config(name, {{"volatile.apply_template", "copy"}}, true));
            for (const auto& old : gone) LX_TRY(database.snapshots().remove(target->id, old->name));
            return arrival.store(target->id);
        });
        LX_TRY(stored);
        arrival.keep();
        for (const auto& old : gone) delete_snapshot_volume(context, target->pool, old->volume);
        LX_TRY(driver->swap_volumes({storage::VolumeType::container, name}, fresh));
        context.stopped_roots.forget(target->id);
        return {};
    };
    LX_TRY(migration::talk_as_target(
        link,
        {.choose = choose, .receive = receive, .compress = context.deps.pools.compresses(target->pool)}));
    context.snapshot_timer.poke();
    context.lifecycle("instance-updated", name, plan.requestor, nullptr);
    return {};
}

}  // namespace lxmgr::instances
