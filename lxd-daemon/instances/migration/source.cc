#include <algorithm>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/instances/backups/steps.h"
#include "lxd-daemon/instances/metadata.h"
#include "lxd-daemon/instances/migration/steps.h"
#include "lxd-daemon/instances/snapshots.h"

namespace lxmgr::instances {
namespace {

migration::Snapshot offered(const database::SnapshotRecord& row) {
    migration::Snapshot out;
    out.name = row.name;
    out.architecture = row.architecture;
    out.config = row.config;
    std::erase_if(out.config, [](const auto& entry) { return !is_portable(entry.first); });
    out.devices = row.devices;
    out.profiles = api::plain_names(row.profiles);
    out.ephemeral = row.ephemeral;
    out.created_at = row.created_at;
    out.last_used_at = row.last_used_at;
    out.expires_at = row.expires_at;
    return out;
}

/// One instance on its way.
class Departure {
public:
    Departure(Context& context, const MigrationSubject& subject, database::InstancePtr record,
              storage::Driver& driver)
        : context_(context), subject_(subject), record_(std::move(record)), driver_(driver) {}
    Departure(Departure&&) = delete;
    ~Departure() {
        if (moment_) delete_snapshot_volume(context_, record_->pool, moment_->name);
    }

    /// What there is to send.
    Result<migration::Header> offer() {
        migration::Header out;
        out.rsync = migration::our_features(context_.deps.pools.compresses(record_->pool));
        LX_TRY_AS(metadata_, metadata_of(context_, *record_));
        if (!subject_.snapshot.empty()) {
            LX_TRY_AS(only_, require_snapshot(context_, record_->name, subject_.snapshot));
        } else if (subject_.with_snapshots) {
            snapshots_ = context_.deps.database.snapshots().list(record_->id);
        }
        for (const auto& row : snapshots_) {
            out.snapshot_names.push_back(row->name);
            out.snapshots.push_back(offered(*row));
        }
        LX_TRY(offer_streams(out));
        LX_TRY_AS(out.base, base());
        out.whole = context_.deps.pools.copy_rate({record_->pool}) == 0;  // rsync keeps to a rate
        return out;
    }

    Result<> send(migration::Link& link, operations::Operation& operation, const migration::Header& answer) {
        if (!answer.streams.empty()) return send_streams(link, operation, answer);
        const std::string name(api::instance_name(record_->name));
        if (only_) return send_volume(link, operation, answer, only_->volume, name + "/" + only_->name);
        // A root in use cannot be mounted a second time, and goes on changing.
        LX_TRY(take_moment());
        for (const auto& row : snapshots_) {
            if (!is_wanted(answer, row->name)) continue;
            LX_TRY(send_volume(link, operation, answer, row->volume, name + "/" + row->name));
        }
        return send_volume(link, operation, answer, moment_->name, name);
    }

private:
    static bool is_wanted(const migration::Header& answer, const std::string& snapshot) {
        return !answer.refresh ||
               std::ranges::find(answer.snapshot_names, snapshot) != answer.snapshot_names.end();
    }

    Result<> take_moment() {
        if (moment_) return {};
        const auto moment = new_snapshot_volume();
        LX_TRY(copy_root(context_, *record_, driver_, moment));
        moment_ = moment;
        failpoint("instances.migration.moment");
        return {};
    }

    Result<> offer_streams(migration::Header& out) {
        if (driver_.streams() == nullptr) return {};
        std::vector<storage::Volume> volumes;
        for (const auto& row : snapshots_) volumes.push_back({storage::VolumeType::snapshot, row->volume});
        if (!only_) LX_TRY(take_moment());
        volumes.push_back(only_ ? storage::Volume{storage::VolumeType::snapshot, only_->volume} : *moment_);
        LX_TRY_AS(out.streams, form_to_offer(context_, record_->pool, driver_, volumes));
        if (out.streams.empty()) return {};
        for (std::size_t i = 0; i < snapshots_.size(); ++i) {
            LX_TRY_AS(out.snapshots[i].identity, driver_.streams()->identity(volumes[i]));
        }
        return {};
    }

    Result<> send_streams(migration::Link& link, operations::Operation& operation,
                          const migration::Header& answer) {
        const std::string name(api::instance_name(record_->name));
        const auto put = [&](int directory) { return put_metadata_beside(directory, *metadata_); };
        DepartingStreams streams(driver_);
        const auto send_one = [&](const std::string& volume, const std::string& what) {
            return streams.send(link, {storage::VolumeType::snapshot, volume}, put,
                                show_progress(operation, what));
        };
        if (only_) return send_one(only_->volume, name + "/" + only_->name);
        const auto is_base = [&](const auto& row) { return row->name == answer.stream_base; };
        if (const auto base = std::ranges::find_if(snapshots_, is_base); base != snapshots_.end())
            LX_TRY(streams.begin_with({storage::VolumeType::snapshot, (*base)->volume}));
        for (const auto& row : snapshots_) {
            if (is_wanted(answer, row->name)) LX_TRY(send_one(row->volume, name + "/" + row->name));
        }
        return send_one(moment_->name, name);
    }

    /// Of what goes first: each of the others begins as the one before it.
    Result<std::string> base() {
        if (only_) return driver_.evident_base({storage::VolumeType::snapshot, only_->volume});
        if (!snapshots_.empty())
            return driver_.evident_base({storage::VolumeType::snapshot, snapshots_.front()->volume});
        if (context_.live.get(record_->name).status == api::StatusCode::stopped)
            return driver_.evident_base({storage::VolumeType::container, record_->name});
        LX_TRY(take_moment());
        return driver_.evident_base(*moment_);
    }

    Result<> send_volume(migration::Link& link, operations::Operation& operation,
                         const migration::Header& answer, const std::string& volume,
                         const std::string& what) {
        LX_TRY_AS(const UniqueFd tree, make_instance_tree(*metadata_));
        LX_TRY_AS(const UniqueFd root,
                  mount_for_stream(driver_, {storage::VolumeType::snapshot, volume}, true));
        const migration::Tree whole{tree.get(), root.get()};
        if (answer.whole && !std::exchange(sent_first_, true))
            return migration::send_whole_tree(link, whole, show_progress(operation, what));
        return migration::send_tree(link, whole, *answer.rsync, show_progress(operation, what),
                                    context_.deps.pools.copy_rate({record_->pool}));
    }

    Context& context_;
    const MigrationSubject& subject_;
    database::InstancePtr record_;
    storage::Driver& driver_;
    std::shared_ptr<const images::Metadata> metadata_;
    std::vector<database::SnapshotPtr> snapshots_;
    database::SnapshotPtr only_;
    std::optional<storage::Volume> moment_;  ///< the root as it is sent
    bool sent_first_ = false;
};

}  // namespace

Result<> send_instance(Context& context, const MigrationSubject& subject, migration::Link& link,
                       operations::Operation& operation) {
    LX_TRY_AS(const auto record, require(context, subject.instance));
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record->pool));
    Departure departure(context, subject, record, *driver);
    LX_TRY_AS(const auto offer, departure.offer());
    return migration::talk_as_source(link, offer, [&](const migration::Header& answer) {
        return departure.send(link, operation, answer);
    });
}

}  // namespace lxmgr::instances
