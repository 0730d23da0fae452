#include "lxd-daemon/instances/kept_files/move.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/pools.h"
#include "lxd-daemon/instances/volume_size.h"
#include "lxd-daemon/instances/volumes/block.h"
#include "lxd-daemon/instances/volumes/mounts.h"
#include "lxd-daemon/instances/volumes/users.h"

namespace lxmgr::instances {
namespace {

/// What no volume for files of the daemon may be.
Result<> check_kept_volume(database::Database& database, const database::VolumeRecord& row) {
    if (is_block(row)) return fail(Status::bad_request, "it is a block volume, not one for files");
    if (!database.volumes().snapshots(row.id).empty())
        return fail(Status::bad_request, "it has snapshots: delete them first");
    const auto users = VolumeUserIndex(database).of(row.pool, row.name);
    if (!users.instances.empty() || !users.profiles.empty())
        return fail(Status::bad_request, "devices of instances or profiles name it: detach it first");
    return {};
}

/// The directory of the other kind may be there already, when that has the same volume.
Result<> check_kept_root(const std::string& root, const std::string& volume, const KeptKind& own,
                         const api::ConfigMap& next) {
    std::error_code error;
    for (std::filesystem::directory_iterator at(root, error), end; !error && at != end; at.increment(error)) {
        const std::string name = at->path().filename();
        const auto is_known = [&](const KeptKind& kind) {
            return kind.kind != own.kind && kind.directory == name && api::value_of(next, kind.key) == volume;
        };
        if (name != "lost+found" && std::ranges::none_of(kept_kinds(), is_known))
            return fail(Status::bad_request, fmt::format("it is not empty: '{}' is in it", name));
    }
    return {};
}

Error about(const KeptKind& kind, const std::string& wanted, Error error) {
    return in(fmt::format("{}: storage volume '{}'", kind.key, wanted), std::move(error));
}

}  // namespace

Result<std::unique_ptr<KeptMove>> KeptMove::begin(KeptFiles& files, VolumeMounts& mounts,
                                                  const KeptKind& kind, const std::string& wanted,
                                                  const api::ConfigMap& next) {
    std::unique_ptr<KeptMove> move(new KeptMove(files, mounts, kind));
    LX_TRY(move->keep_writers_out());
    if (auto opened = move->open_target(wanted, next); !opened)
        return std::unexpected(about(kind, wanted, std::move(opened).error()));
    LX_TRY(move->note());
    failpoint("instances.kept_files.intent");
    const std::string what =
        wanted.empty() ? std::string(kind.directory) : fmt::format("the {} on '{}'", kind.directory, wanted);
    LX_TRY(in_room_for(what, move->copy_all()));
    failpoint("instances.kept_files.copied");
    return move;
}

Result<> KeptMove::keep_writers_out() {
    const std::lock_guard lock(files_.mutex_);
    auto& slot = files_.slot(kind_.kind);
    if (slot.writers.use_count() > 1)
        return fail(Status::bad_request,
                    fmt::format("{} cannot be changed while {} are being made: try again when that is done",
                                kind_.key, kind_.directory));
    from_ = slot.place;
    if (!from_->trouble().empty() && !kind_.files(files_.database_).empty())
        return fail(Status::bad_request,
                    fmt::format("{}: the {} there cannot be moved. Put it right and restart the daemon, or "
                                "delete them first",
                                from_->trouble(), kind_.directory));
    slot.moves = true;
    undo_.add([this] {
        const std::lock_guard again(files_.mutex_);
        files_.slot(kind_.kind).moves = false;
    });
    return {};
}

Result<> KeptMove::open_target(const std::string& wanted, const api::ConfigMap& next) {
    if (wanted.empty()) {
        to_ = KeptPlace::in_state(files_.state_dir_, kind_);
        return {};
    }
    const auto row = find_kept_volume(files_.database_, wanted);
    if (!row) return fail(Status::not_found, "there is no such custom volume");
    LX_TRY(mounts_.reserve(row->id, kind_.key));
    undo_.add([this, id = row->id] { give_back(id); });
    LX_TRY(check_kept_volume(files_.database_, *row));
    LX_TRY_AS(to_, KeptPlace::on_volume(files_.pools_, files_.state_dir_, kind_, *row));
    undo_.add([this] { to_.reset(); });
    return check_kept_root(to_->root(), wanted, kind_, next);
}

Result<> KeptMove::note() {
    intent_.kind = kKeptMoveIntent;
    intent_.details = {
        {"key", kind_.key}, {"from", std::to_string(from_->volume())}, {"to", std::to_string(to_->volume())}};
    LX_TRY_AS(intent_.id, files_.database_.intents().add(intent_.kind, intent_.details));
    undo_.add([this] { settle(); });
    return {};
}

Result<> KeptMove::copy_all() {
    // Where files never were, or are no more, there may still be some of a move that could not be undone.
    if (to_->volume() == 0) LX_TRY(to_->keep_only({}));
    LX_TRY(to_->begin());
    return to_->copy(*from_, kind_.files(files_.database_));
}

void KeptMove::settle() {
    const auto settled = files_.settle(intent_);
    settled_ = settled.has_value();
    if (!settled_)
        log::error("files that were moved away are not removed yet", {{"error", settled.error().message}});
}

void KeptMove::give_back(std::int64_t volume) {
    if (volume <= 0) return;
    if (settled_) {
        mounts_.end_reservation(volume, kind_.key);
        return;
    }
    const std::lock_guard lock(files_.mutex_);
    files_.unsettled_.emplace_back(volume, kind_.key);
}

void KeptMove::finish() {
    undo_.commit();
    failpoint("instances.kept_files.stored");
    // Removed while they were being copied: nobody knows them any more.
    if (auto kept = to_->keep_only(kind_.files(files_.database_)); !kept)
        log::warn("files of the daemon left behind", {{"error", kept.error().message}});
    {
        const std::lock_guard lock(files_.mutex_);
        auto& slot = files_.slot(kind_.kind);
        slot.place = to_;
        slot.moves = false;
    }
    failpoint("instances.kept_files.switched");
    const auto old_volume = from_->volume();
    const auto gone = from_->gone();
    from_.reset();
    gone.wait();
    settle();
    give_back(old_volume);
    failpoint("instances.kept_files.settled");
}

}  // namespace lxmgr::instances
