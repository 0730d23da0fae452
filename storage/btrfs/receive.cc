#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <deque>
#include <optional>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/strings.h"
#include "storage/btrfs/send_stream.h"
#include "storage/btrfs/stream_applier.h"
#include "storage/btrfs/streams.h"
#include "storage/btrfs/subvolume.h"
#include "storage/carried_map.h"
#include "storage/tree/list.h"
#include "storage/tree/remove.h"

namespace lxmgr::storage {
namespace {

constexpr const char* kTreeName = "rootfs";

constexpr std::size_t kMaxReceived = 1001;  // a backup's snapshots and itself

std::unexpected<Error> bad_stream(std::string_view what) {
    return fail(Status::bad_request, fmt::format("The stream of a btrfs volume {}", what));
}

/// Removes what stands beside the tree, whatever it is.
Result<> keep_tree_only(int directory_fd) {
    struct stat st{};
    if (::fstatat(directory_fd, kTreeName, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode))
        return bad_stream(fmt::format("holds no directory '{}'", kTreeName));
    LX_TRY_AS(const auto entries, list_directory(directory_fd));
    if (entries.size() == 1) return {};
    // In a directory of its own, because deep trees are taken apart there.
    const std::string trash_name = ".lxmgr-" + random_hex(8);
    if (::mkdirat(directory_fd, trash_name.c_str(), 0700) != 0)
        return fail_errno_at("mkdir", directory_fd, trash_name);
    const UniqueFd trash(
        ::openat(directory_fd, trash_name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!trash) return fail_errno_at("Opening", directory_fd, trash_name);
    for (const auto& entry : entries) {
        if (entry.name == kTreeName) continue;
        if (::renameat(directory_fd, entry.name.c_str(), trash.get(), entry.name.c_str()) != 0)
            return fail_errno_at("Removing", directory_fd, entry.name);
        LX_TRY(remove_tree_at(trash.get(), entry.name, [] { return false; }));
    }
    if (::unlinkat(directory_fd, trash_name.c_str(), AT_REMOVEDIR) != 0)
        return fail_errno_at("Removing", directory_fd, trash_name);
    return {};
}

/// One that was received, or is.
struct Received {
    Draft draft;
    Uuid uuid;
};

class BtrfsReceiver final : public StreamReceiver {
public:
    BtrfsReceiver(PoolDirectory& pool, const QgroupLimits& limits) : pool_(pool), limits_(limits) {}

    Result<> feed(std::string_view bytes) override {
        if (!stream_) stream_.emplace([this](const StreamCommand& command) { return take(command); });
        return stream_->feed(bytes);
    }

    Result<> finish(const Volume& volume, const sys::IdMap& ids, const BesideTree& beside) override {
        if (!stream_) return bad_stream("is not there");
        LX_TRY(stream_->finish());
        stream_.reset();
        applier_.reset();
        LX_TRY(pool_.require_absent(volume));
        LX_TRY_AS(const UniqueFd from, reopen_directory(received_.back().draft.fd()));
        LX_TRY_AS(Draft draft, pool_.begin_from([&](int tmp_fd, const std::string& name) {
            return snapshot_subvolume(from.get(), tmp_fd, name);
        }));
        LX_TRY_AS(const UniqueFd root, reopen_directory(draft.fd()));
        LX_TRY(beside(root.get()));
        LX_TRY(keep_tree_only(root.get()));
        if (!ids.uids.empty() || !ids.gids.empty()) LX_TRY(set_carried_map(root.get(), ids));
        failpoint("storage.btrfs.receive.tree");
        LX_TRY(limits_.change(volume, draft.fd()));
        if (::syncfs(root.get()) != 0) return fail_errno_at("syncfs", root.get(), "");
        LX_TRY(pool_.publish(draft, pool_.fd(volume.type), volume.name));
        failpoint("storage.btrfs.receive.published");
        return {};
    }

private:
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
        applier_.emplace(received_.back().draft.fd(), [this](const Uuid& of) { return tree_of(of); });
        return {};
    }

    Result<Draft> begin_from_base(const StreamCommand& command) {
        LX_TRY_AS(const Uuid base, command.uuid(StreamAttribute::clone_uuid));
        const int base_fd = tree_of(base);
        if (base_fd < 0) return bad_stream("says how it differs from a volume that is not of this backup");
        LX_TRY_AS(const UniqueFd from, reopen_directory(base_fd));
        return pool_.begin_from([&](int tmp_fd, const std::string& name) {
            return snapshot_subvolume(from.get(), tmp_fd, name);
        });
    }

    Result<> take(const StreamCommand& command) {
        const bool begins =
            command.kind == StreamCommandKind::subvolume || command.kind == StreamCommandKind::snapshot;
        if (begins) return begin(command);
        if (!applier_) return bad_stream("does not begin with a volume");
        if (command.kind == StreamCommandKind::end) return {};
        return applier_->apply(command);
    }

    PoolDirectory& pool_;
    const QgroupLimits& limits_;
    std::optional<SendStream> stream_;
    std::deque<Received> received_;  ///< in their order; rubbish at the end
    std::optional<StreamApplier> applier_;
};

}  // namespace

std::unique_ptr<StreamReceiver> BtrfsStreams::receiver() {
    return std::make_unique<BtrfsReceiver>(pool_, limits_);
}

}  // namespace lxmgr::storage
