#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/instances/migration/service.h"
#include "lxd-daemon/instances/migration/steps.h"
#include "lxd-daemon/instances/project_limits.h"
#include "lxd-daemon/instances/projects.h"
#include "lxd-daemon/instances/snapshots.h"
#include "lxd-daemon/instances/volume_size.h"
#include "lxd-daemon/instances/volumes/block.h"
#include "lxd-daemon/instances/volumes/steps.h"
#include "profiles/config_keys.h"

/// Custom volumes to other servers and from them.
namespace lxmgr::instances {
namespace {

using migration::Header;

/// What POST of a volume with source "migration" was turned into.
struct VolumeArrivalPlan {
    database::VolumeRecord record;
    std::string idmap;  ///< kVolumeIdmapKey of the other server's
    bool with_snapshots = true, refresh = false;
    std::string requestor;
};

Result<VolumeArrivalPlan> plan_volume_arrival(Context& context, const std::string& pool,
                                              const api::StorageVolumesPost& post) {
    LX_TRY(profiles::validate_volume_name(post.name));
    if (!post.type.empty() && post.type != "custom")
        return fail(Status::bad_request,
                    fmt::format("Currently not allowed to create storage volumes of type \"{}\"", post.type));
    if (!post.content_type.empty() && post.content_type != "filesystem")
        return fail(Status::bad_request,
                    "Only volumes of content type \"filesystem\" come from other servers");
    LX_TRY(context.deps.pools.driver(pool));
    VolumeArrivalPlan plan;
    plan.record.pool = pool;
    plan.record.name = volume_key(context, post.in_project, post.name);
    plan.record.description = post.description.value_or("");
    plan.record.config = post.config.value_or(api::ConfigMap{});
    plan.idmap = api::value_of(plan.record.config, kVolumeIdmapKey);
    drop_volatile(plan.record.config);
    context.deps.pools.drop_foreign_keys(pool, plan.record.config);
    LX_TRY(context.deps.pools.check_volume_config(pool, plan.record.config));
    plan.with_snapshots = !post.source.volume_only;
    plan.refresh = post.source.refresh;
    if (context.deps.database.volumes().find(pool, plan.record.name)) {
        if (plan.refresh) return plan;
        return fail(Status::conflict, "Volume by that name already exists");
    }
    LX_TRY(check_in_project(context, plan.record));  // a look; what counts is done when it is stored
    return plan;
}

Result<std::vector<database::VolumeSnapshotRecord>> arriving_volume_snapshots(const Header& answer) {
    std::vector<database::VolumeSnapshotRecord> out;
    std::set<std::string> names;
    for (const auto& snapshot : answer.snapshots) {
        LX_TRY(validate_snapshot_name(snapshot.name));
        if (!names.insert(snapshot.name).second)
            return fail(Status::bad_request, fmt::format("Snapshot '{}' comes twice", snapshot.name));
        database::VolumeSnapshotRecord row;
        row.name = snapshot.name;
        row.config = snapshot.config;
        drop_volatile(row.config);
        LX_TRY(profiles::validate_volume_config(row.config));
        row.created_at = snapshot.created_at == Time{} ? now() : snapshot.created_at;
        row.expires_at = snapshot.expires_at;
        out.push_back(std::move(row));
    }
    return out;
}

/// LXD tells no times of a volume's snapshots: then the name decides.
bool is_same_snapshot(const database::VolumeSnapshotPtr& mine, const migration::Snapshot& other) {
    using std::chrono::floor, std::chrono::seconds;
    if (!mine) return false;
    return other.created_at == Time{} || floor<seconds>(mine->created_at) == other.created_at;
}

class VolumeArrival {
public:
    VolumeArrival(Context& context, const VolumeArrivalPlan& plan)
        : context_(context),
          plan_(plan),
          target_(context.deps.database.volumes().find(plan.record.pool, plan.record.name)) {}

    /// Errors: `conflict`, `bad_request`.
    Result<> check() {
        if (target_ && !plan_.refresh) return fail(Status::conflict, "Volume by that name already exists");
        if (!target_) return {};
        if (is_block(*target_))
            return fail(Status::bad_request, "A block volume cannot be refreshed from a server");
        LX_TRY_AS(auto hold, context_.volume_mounts.hold(target_->id));
        hold_.emplace(std::move(hold));
        return {};
    }

    Result<Header> choose(const Header& offer) {
        Header answer;
        LX_TRY_AS(const DriverPtr driver, context_.deps.pools.driver(plan_.record.pool));
        answer.refresh = target_ != nullptr;
        if (!target_) answer.streams = form_to_take(*driver, offer.streams);
        answer.whole = offer.whole && !target_ && answer.streams.empty();
        if (!plan_.with_snapshots) return answer;
        auto& volumes = context_.deps.database.volumes();
        std::set<std::string> kept;
        for (const auto& snapshot : offer.snapshots) {
            const auto mine = target_ ? volumes.find_snapshot(target_->id, snapshot.name) : nullptr;
            if (is_same_snapshot(mine, snapshot)) {
                kept.insert(snapshot.name);
                begin_with_common(*driver, {storage::VolumeType::custom, mine->volume}, snapshot,
                                  offer.streams, answer, stream_base_);
                continue;
            }
            answer.snapshot_names.push_back(snapshot.name);
            answer.snapshots.push_back(snapshot);
        }
        if (target_) {
            for (const auto& mine : volumes.snapshots(target_->id)) {
                if (!kept.contains(mine->name)) gone_.push_back(mine);
            }
        }
        LX_TRY(arriving_volume_snapshots(answer));
        return answer;
    }

    Result<> receive(const Header& answer, ArrivingVolumes& volumes) {
        LX_TRY_AS(rows_, arriving_volume_snapshots(answer));
        LX_TRY_AS(const auto idmap, source_idmap({{"volatile.last_state.idmap", plan_.idmap}}));
        if (!answer.streams.empty()) LX_TRY(volumes.take_streams(stream_base_));
        if (target_) volumes.begin_with({storage::VolumeType::custom, target_->volume});
        const auto& shaped = target_ ? *target_ : plan_.record;
        auto shape = shape_of(shaped), snapshot_shape = snapshot_shape_of(shaped);
        snapshot_shape.size_bytes = limit_of_arriving_snapshots(
            context_, api::split_object_key(shaped.name).project, shape.size_bytes);
        for (std::size_t i = 0; i <= rows_.size(); ++i) {
            const bool last = i == rows_.size();
            LX_TRY_AS(NewDirectory fresh,
                      NewDirectory::begin(context_, plan_.record.pool, last ? shape : snapshot_shape));
            directories_.push_back(std::move(fresh));
            LX_TRY(in_room_for(fmt::format("storage volume '{}'", api::plain_name(plan_.record.name)),
                               volumes.add(directories_.back().place().volume, -1, idmap,
                                           last ? "" : answer.snapshots[i].identity)));
            if (!last) rows_[i].volume = directories_.back().name();
        }
        failpoint("instances.migration.volume_arrived");
        return store();
    }

private:
    Result<> store() {
        auto& database = context_.deps.database;
        DoomedDirectories doomed(context_);
        const auto stored = database.transaction([&]() -> Result<> {
            std::int64_t id = 0;
            if (target_) {
                LX_TRY(replace(doomed));
                id = target_->id;
            } else {
                database::VolumeRecord record = plan_.record;
                record.volume = directories_.back().name();
                record.created_at = now();
                LX_TRY(check_in_project(context_, record));
                LX_TRY_AS(const auto row, database.volumes().create(record));
                id = row->id;
            }
            for (auto& row : rows_) {
                row.volume_id = id;
                context_.deps.pools.drop_foreign_keys(plan_.record.pool, row.config);
                LX_TRY(database.volumes().create_snapshot(row));
            }
            for (auto& directory : directories_) LX_TRY(directory.belongs_to_a_row());
            return {};
        });
        LX_TRY(stored);
        for (auto& directory : directories_) directory.keep();
        failpoint("instances.migration.volume_row");
        doomed.remove();
        return {};
    }
    /// Inside the transaction: what it has so far goes.
    Result<> replace(DoomedDirectories& doomed) {
        auto& volumes = context_.deps.database.volumes();
        LX_TRY(doomed.doom(target_->pool, target_->volume));
        for (const auto& old : gone_) {
            LX_TRY(doomed.doom(target_->pool, old->volume));
            LX_TRY(volumes.remove_snapshot(*old));
        }
        database::VolumeRecord next = *target_;
        next.volume = directories_.back().name();
        LX_TRY(volumes.update(next));
        return {};
    }

    Context& context_;
    const VolumeArrivalPlan& plan_;
    database::VolumePtr target_;  ///< null: it is new
    std::optional<VolumeMounts::Hold> hold_;
    std::optional<storage::Volume> stream_base_;
    std::vector<database::VolumeSnapshotPtr> gone_;
    std::vector<database::VolumeSnapshotRecord> rows_;
    std::vector<NewDirectory> directories_;
};

Result<> receive_volume_now(Context& context, const VolumeArrivalPlan& plan, migration::Link& link,
                            operations::Operation& operation, std::stop_token stop) {
    VolumeArrival arrival(context, plan);
    LX_TRY(arrival.check());
    const migration::TargetSteps steps{
        .choose = [&](const Header& offer) { return arrival.choose(offer); },
        .receive = [&](const Header&, const Header& answer) -> Result<> {
            ArrivingVolumes volumes(
                context, plan.record.pool,
                {link, *answer.rsync, show_progress(operation, api::plain_name(plan.record.name)), stop});
            if (answer.whole) volumes.take_first_whole();
            return arrival.receive(answer, volumes);
        },
        .compress = context.deps.pools.compresses(plan.record.pool)};
    LX_TRY(migration::talk_as_target(link, steps));
    context.snapshot_timer.poke();
    volume_lifecycle(context, "storage-volume-created", volume_url({plan.record.pool, plan.record.name}),
                     plan.requestor, {{"type", "custom"}});
    return {};
}

/// The volume itself is what can change still: of its moment it is seen when that is taken.
Result<> offer_volume_streams(Context& context, const database::VolumeRecord& record,
                              const std::vector<database::VolumeSnapshotPtr>& snapshots,
                              storage::Driver& driver, Header& offer) {
    std::vector<storage::Volume> volumes;
    for (const auto& row : snapshots) volumes.push_back({storage::VolumeType::custom, row->volume});
    volumes.push_back({storage::VolumeType::custom, record.volume});
    LX_TRY_AS(offer.streams, form_to_offer(context, record.pool, driver, volumes));
    if (offer.streams.empty()) return {};
    for (std::size_t i = 0; i < snapshots.size(); ++i) {
        LX_TRY_AS(offer.snapshots[i].identity, driver.streams()->identity(volumes[i]));
    }
    return {};
}

Result<> send_volume_now(Context& context, const VolumeName& name, bool with_snapshots, migration::Link& link,
                         operations::Operation& operation) {
    LX_TRY_AS(const auto record, require_volume(context, name));
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record->pool));
    std::vector<database::VolumeSnapshotPtr> snapshots;
    if (with_snapshots) snapshots = context.deps.database.volumes().snapshots(record->id);
    const std::string shown = api::plain_name(name.name);
    Header offer;
    offer.rsync = migration::our_features(context.deps.pools.compresses(record->pool));
    offer.whole = context.deps.pools.copy_rate({record->pool}) == 0;
    for (const auto& row : snapshots) {
        migration::Snapshot snapshot;
        snapshot.name = row->name;
        snapshot.config = row->config;
        snapshot.created_at = row->created_at;
        snapshot.expires_at = row->expires_at;
        offer.snapshot_names.push_back(row->name);
        offer.snapshots.push_back(std::move(snapshot));
    }
    LX_TRY(offer_volume_streams(context, *record, snapshots, *driver, offer));
    bool first = true;
    std::optional<DepartingStreams> streams;
    const auto send_one = [&](const std::string& directory, const Header& answer,
                              const std::string& what) -> Result<> {
        if (streams)
            return streams->send(
                link, {storage::VolumeType::custom, directory}, [](int) { return Result<>(); },
                show_progress(operation, what));
        LX_TRY_AS(const UniqueFd root,
                  mount_for_stream(*driver, {storage::VolumeType::custom, directory}, true));
        if (std::exchange(first, false) && answer.whole)
            return migration::send_whole_tree(link, {root.get(), -1}, show_progress(operation, what));
        return migration::send_tree(link, {root.get(), -1}, *answer.rsync, show_progress(operation, what),
                                    context.deps.pools.copy_rate({record->pool}));
    };
    return migration::talk_as_source(link, offer, [&](const Header& answer) -> Result<> {
        LX_TRY_AS(const NewDirectory moment, NewDirectory::begin(context, record->pool));
        LX_TRY(copy_volume_now(context, *record, moment.place()));
        failpoint("instances.migration.volume_moment");
        if (!answer.streams.empty()) streams.emplace(*driver);
        const auto is_base = [&](const auto& row) { return row->name == answer.stream_base; };
        if (const auto base = std::ranges::find_if(snapshots, is_base); streams && base != snapshots.end())
            LX_TRY(streams->begin_with({storage::VolumeType::custom, (*base)->volume}));
        for (const auto& row : snapshots) {
            const bool wanted =
                std::ranges::find(answer.snapshot_names, row->name) != answer.snapshot_names.end();
            if (answer.refresh && !wanted) continue;
            LX_TRY(send_one(row->volume, answer, shown + "/" + row->name));
        }
        return send_one(moment.name(), answer, shown);
    });
}

void describe_wire(operations::Request& request, const MigrationWire& wire) {
    request.may_cancel = true;
    if (wire.secrets.is_null()) return;
    request.kind = operations::Class::websocket;
    request.metadata = wire.secrets;
}

}  // namespace

Result<operations::OperationPtr> MigrationService::send_volume(const VolumeName& name, bool with_snapshots,
                                                               MigrationWire wire,
                                                               const std::string& requestor) {
    LX_TRY_AS(const auto record, require_volume(context_, name));
    if (is_block(*record))
        return fail(Status::bad_request, "Only volumes of content type \"filesystem\" go to other servers");
    auto request = volume_request(context_, "Migrating storage volume", name, requestor, true);
    describe_wire(request, wire);
    request.body = [this, name, with_snapshots, link = wire.link](
                       operations::Operation& operation, std::stop_token stop) -> Result<nlohmann::json> {
        const BoundLink bound(*link, stop);
        LX_TRY(send_volume_now(context_, name, with_snapshots, *link, operation));
        return nlohmann::json(nullptr);
    };
    return context_.deps.operations.start(std::move(request));
}

Result<operations::OperationPtr> MigrationService::receive_volume(const std::string& pool,
                                                                  const api::StorageVolumesPost& post,
                                                                  MigrationWire wire,
                                                                  const std::string& requestor) {
    LX_TRY_AS(VolumeArrivalPlan plan, plan_volume_arrival(context_, pool, post));
    plan.requestor = requestor;
    auto request = volume_request(context_, "Creating storage volume",
                                  {pool, plan.record.name, post.in_project}, requestor, false);
    describe_wire(request, wire);
    request.body = [this, plan = std::move(plan), link = wire.link](
                       operations::Operation& operation, std::stop_token stop) -> Result<nlohmann::json> {
        const BoundLink bound(*link, stop);
        LX_TRY(receive_volume_now(context_, plan, *link, operation, stop));
        return nlohmann::json(nullptr);
    };
    return context_.deps.operations.start(std::move(request));
}

}  // namespace lxmgr::instances
