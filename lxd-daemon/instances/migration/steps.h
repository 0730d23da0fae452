#pragma once
#include <functional>
#include <stop_token>
#include <string>

#include "images/image.h"
#include "lxd-daemon/api/instance_requests.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/copies.h"
#include "lxd-daemon/instances/migration/service.h"
#include "lxd-daemon/instances/migration/streams.h"
#include "lxd-daemon/migration/messages.h"
#include "lxd-daemon/migration/rsync.h"
#include "lxd-daemon/migration/talk.h"

/// Private to the room: what migrations are made of.
namespace lxmgr::instances {

/// The link of an operation: cancelling that ends the link, and so does its own end.
class BoundLink {
public:
    BoundLink(migration::Link& link, const std::stop_token& stop) : link_(link), abort_(stop, Abort{&link}) {}
    BoundLink(BoundLink&&) = delete;
    ~BoundLink() { link_.close(); }

private:
    struct Abort {
        migration::Link* link;
        void operator()() const { link->abort(); }
    };
    migration::Link& link_;
    std::stop_callback<Abort> abort_;
};

/// Shows in the operation how far it is: "fs_progress".
migration::Progress show_progress(operations::Operation& operation, const std::string& what);

/// The directory of an instance as LXD has it on disk: metadata.yaml, templates and an empty "rootfs", in
/// memory. A detached mount.
Result<UniqueFd> make_instance_tree(const images::Metadata& metadata);
/// What came with an instance; nothing in it is believed. Errors: `bad_request`.
Result<images::Metadata> read_instance_tree(int tree_fd);

/// What a stream is sent from, or arrives in: read-only, or for the ids inside.
Result<UniqueFd> mount_for_stream(storage::Driver& driver, const storage::Volume& volume, bool read_only);

/// The ids that a source's disk has; none: those inside. Errors: `bad_request`.
Result<sys::IdMap> source_idmap(const std::vector<migration::IdEntry>& entries);
/// The same, from volatile.last_state.idmap of a snapshot.
Result<sys::IdMap> source_idmap(const api::ConfigMap& config);

/// Volumes of one pool that arrive one after the other: each begins as a copy of the one before it, so that
/// only what differs is carried.
class ArrivingVolumes {
public:
    struct Stream {
        migration::Link& link;
        migration::RsyncFeatures features;
        migration::Progress progress;
        std::stop_token stop;
    };
    ArrivingVolumes(Context& context, std::string pool, Stream stream)
        : context_(context), pool_(std::move(pool)), stream_(std::move(stream)) {}
    ArrivingVolumes(ArrivingVolumes&&) = delete;
    ~ArrivingVolumes();

    /// The next one begins as this volume.
    void begin_with(storage::Volume volume) { last_ = std::move(volume); }
    /// The first one is made by this, where what is there too much of it can be removed.
    void begin_with_image(std::function<Result<>(const storage::Volume&)> make) { image_ = std::move(make); }
    /// The first one comes as a whole tree: it begins with nothing.
    void take_first_whole() { whole_ = true; }
    /// All come in the form of the pool's driver, the first one as a difference from `base`.
    Result<> take_streams(const std::optional<storage::Volume>& base);
    /// @param tree     for an instance: what came beside its root, a detached mount; -1: for a custom volume
    /// @param idmap    of the ids that arrive
    /// @param same_as  the identity that the source gives a snapshot
    /// On failure the volume may be left.
    Result<> add(const storage::Volume& volume, int tree, const sys::IdMap& idmap,
                 const std::string& same_as = {});
    /// What came beside the last one's root, whose `tree` was given to add().
    Result<images::Metadata> metadata(int tree);

private:
    Result<> add_stream(const storage::Volume& volume, bool of_instance, const sys::IdMap& idmap,
                        const std::string& same_as);
    Result<> fill(storage::Driver& driver, const storage::Volume& volume, int tree);
    Result<> shift(storage::Driver& driver, const storage::Volume& from, const storage::Volume& to,
                   const sys::IdMap& idmap);
    Context& context_;
    std::string pool_;
    Stream stream_;
    std::optional<storage::Volume> last_;
    std::function<Result<>(const storage::Volume&)> image_;
    std::vector<storage::Volume> raw_;  ///< with the ids of the source
    bool whole_ = false;                ///< the next one comes so
    DriverPtr stream_driver_;
    std::unique_ptr<storage::StreamReceiver> receiver_;  ///< null: they come by rsync
    images::Metadata metadata_;                          ///< that came in a stream
};

/// What POST /1.0/instances with source "migration" was turned into.
struct ArrivalPlan {
    database::InstanceRecord record;  ///< with `refresh`, only its name counts
    bool with_snapshots = true;
    bool refresh = false;   ///< it exists
    bool same_one = false;  ///< it is moved: its identity comes along
    bool start = false;
    std::string requestor;
};
Result<ArrivalPlan> plan_arrival(Context& context, api::InstancesPost post);

// Blocking steps; the caller's operation holds the lock "instance:NAME".
Result<> send_instance(Context& context, const MigrationSubject& subject, migration::Link& link,
                       operations::Operation& operation);
Result<> receive_instance(Context& context, const ArrivalPlan& plan, migration::Link& link,
                          operations::Operation& operation, std::stop_token stop);
Result<> receive_refresh(Context& context, const ArrivalPlan& plan, migration::Link& link,
                         operations::Operation& operation, std::stop_token stop);

/// Bytes that each of them may take; 0: no limit. Where the project limits its disk, as much as what they are
/// snapshots of: so it is for those that are made here.
std::uint64_t limit_of_arriving_snapshots(const Context& context, const std::string& project,
                                          std::uint64_t limit_of_object);
/// What came with an offer, as rows; checked as what clients send is. Errors: `bad_request`.
Result<std::vector<database::SnapshotRecord>> arriving_snapshots(Context& context, const ArrivalPlan& plan,
                                                                 const std::string& pool,
                                                                 const migration::Header& offer);

}  // namespace lxmgr::instances
