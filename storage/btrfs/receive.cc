#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <deque>
#include <optional>

#include "lxd-daemon/base/failpoint.h"
#include "storage/btrfs/same_tree.h"
#include "storage/btrfs/send_stream.h"
#include "storage/btrfs/stream_applier.h"
#include "storage/btrfs/streams.h"
#include "storage/btrfs/subvolume.h"
#include "storage/carried_map.h"
#include "storage/tree/list.h"

namespace lxmgr::storage {
namespace {

constexpr std::size_t kMaxReceived = 1001;  // a backup's snapshots and itself

std::unexpected<Error> bad_stream(std::string_view what) {
    return fail(Status::bad_request, fmt::format("The stream of a btrfs volume {}", what));
}

/// One that was received, or is.
struct Received {
    Draft draft;
    std::optional<Uuid> uuid;  ///< none yet: a base, which the first stream names
};

class BtrfsReceiver final : public StreamReceiver {
public:
    BtrfsReceiver(PoolDirectory& pool, TreeVolumes& trees, const QgroupLimits& limits)
        : pool_(pool), trees_(trees), limits_(limits) {}

    Result<> begin_with(const Volume& volume) override {
        // The stream speaks of files whose ids are 0-based.
        const sys::IdMap as_inside = sys::IdMap::host();
        LX_TRY(trees_.mount(volume, {.idmap = &as_inside, .read_only = true}));
        LX_TRY_AS(const UniqueFd directory, pool_.open_volume(volume));
        LX_TRY_AS(Draft draft, snapshot_of(directory.get()));
        LX_TRY_AS(const UniqueFd root, reopen_directory(draft.fd()));
        LX_TRY(keep_tree_only(root.get()));
        received_.push_back({std::move(draft), std::nullopt});
        return {};
    }

    void expect(const Volume& volume) override { expected_ = volume; }

    Result<> feed(std::string_view bytes) override {
        if (!stream_) stream_.emplace([this](const StreamCommand& command) { return take(command); });
        return stream_->feed(bytes);
    }

    Result<> finish(const Volume& volume, const sys::IdMap& ids, const BesideTree& beside,
                    const std::string& same_as) override {
        if (!stream_) return bad_stream("is not there");
        LX_TRY(stream_->finish());
        stream_.reset();
        applier_.reset();
        LX_TRY(pool_.require_absent(volume));
        LX_TRY_AS(Draft draft, snapshot_of(received_.back().draft.fd()));
        LX_TRY_AS(const UniqueFd root, reopen_directory(draft.fd()));
        LX_TRY(beside(root.get()));
        LX_TRY(keep_tree_only(root.get()));
        if (!ids.uids.empty() || !ids.gids.empty()) LX_TRY(set_carried_map(root.get(), ids));
        if (!same_as.empty()) LX_TRY(set_identity(root.get(), same_as));
        failpoint("storage.btrfs.receive.tree");
        LX_TRY(limits_.change(volume, draft.fd()));
        if (::syncfs(root.get()) != 0) return fail_errno_at("syncfs", root.get(), "");
        LX_TRY(pool_.publish(draft, pool_.fd(volume.type), volume.name));
        failpoint("storage.btrfs.receive.published");
        return {};
    }

private:
    Result<Draft> snapshot_of(int directory_fd) {
        LX_TRY_AS(const UniqueFd from, reopen_directory(directory_fd));
        return pool_.begin_from([&](int tmp_fd, const std::string& name) {
            return snapshot_subvolume(from.get(), tmp_fd, name);
        });
    }

    int tree_of(const Uuid& uuid) const {
        for (const auto& one : received_) {
            if (one.uuid == uuid) return one.draft.fd();
        }
        return -1;
    }

    Result<> begin(const StreamCommand& command) {
        if (applier_) return bad_stream("holds more than one volume");
        if (received_.size() >= kMaxReceived) return bad_stream("is one too many");
        LX_TRY_AS(const Uuid uuid, command.uuid(StreamAttribute::uuid));
        if (tree_of(uuid) >= 0) return bad_stream("has the UUID of another one of its backup");
        auto draft = command.kind == StreamCommandKind::subvolume ? pool_.begin() : begin_from_base(command);
        LX_TRY_AS(Draft fresh, std::move(draft));
        failpoint("storage.btrfs.receive.begun");
        received_.push_back({std::move(fresh), uuid});
        if (expected_) LX_TRY(limits_.change(*expected_, received_.back().draft.fd()));
        applier_.emplace(received_.back().draft.fd(), [this](const Uuid& of) { return tree_of(of); });
        return {};
    }

    Result<Draft> begin_from_base(const StreamCommand& command) {
        LX_TRY_AS(const Uuid base, command.uuid(StreamAttribute::clone_uuid));
        if (received_.size() == 1 && !received_.front().uuid) received_.front().uuid = base;
        const int base_fd = tree_of(base);
        if (base_fd < 0) return bad_stream("says how it differs from a volume that is not of this backup");
        return snapshot_of(base_fd);
    }

    Result<> take(const StreamCommand& command) {
        const bool begins =
            command.kind == StreamCommandKind::subvolume || command.kind == StreamCommandKind::snapshot;
        if (begins) return begin(command);
        if (!applier_) return bad_stream("does not begin with a volume");
        if (command.kind == StreamCommandKind::end) return applier_->finish();
        return applier_->apply(command);
    }

    PoolDirectory& pool_;
    TreeVolumes& trees_;
    const QgroupLimits& limits_;
    std::optional<Volume> expected_;
    std::optional<SendStream> stream_;
    std::deque<Received> received_;  ///< in their order; rubbish at the end
    std::optional<StreamApplier> applier_;
};

}  // namespace

std::unique_ptr<StreamReceiver> BtrfsStreams::receiver() {
    return std::make_unique<BtrfsReceiver>(pool_, trees_, limits_);
}

}  // namespace lxmgr::storage
