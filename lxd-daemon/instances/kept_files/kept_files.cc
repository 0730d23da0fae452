#include "lxd-daemon/instances/kept_files/kept_files.h"

#include <fmt/format.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/kept_files/move.h"
#include "lxd-daemon/instances/pools.h"
#include "lxd-daemon/instances/volumes/mounts.h"

namespace lxmgr::instances {
namespace {

constexpr const char* kVolumeWarning = "Storage volume unavailable";

/// What a daemon that was killed left mounted. All that is mounted there is the daemon's.
void unmount_all(const std::string& directory) {
    std::error_code error;
    for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end;
         at.increment(error)) {
        const std::string path = at->path();
        while (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
        }
        ::rmdir(path.c_str());
    }
}

std::string kept_value(const api::ConfigMap& config, const KeptKind& kind) {
    return api::value_of(config, kind.key);
}

void note_trouble(database::Database& database, const std::string& value, const std::string& trouble) {
    const auto [pool, name] = split_kept_volume(value);
    const std::string url =
        fmt::format("/1.0/storage-pools/{}/volumes/custom/{}", url_encode(pool), url_encode(name));
    auto noted = trouble.empty() ? database.warnings().resolve(kVolumeWarning, url)
                                 : database.warnings().raise(kVolumeWarning, 3, url, trouble);
    if (!noted) log::error("warning not recorded", {{"error", noted.error().message}});
}

}  // namespace

database::VolumePtr find_kept_volume(database::Database& database, const std::string& value) {
    const auto [pool, name] = split_kept_volume(value);
    return database.volumes().find(pool, name);
}

KeptFiles::KeptFiles(database::Database& database, Pools& pools, std::string state_dir)
    : database_(database), pools_(pools), state_dir_(std::move(state_dir)) {
    for (const auto& kind : kept_kinds()) slot(kind.kind).place = KeptPlace::in_state(state_dir_, kind);
}

std::int64_t KeptFiles::volume_id(const std::string& value) const {
    if (value.empty()) return 0;
    const auto row = find_kept_volume(database_, value);
    return row ? row->id : -1;
}

void KeptFiles::open() {
    unmount_all(kept_mounts(state_dir_));
    auto unsettled = settle_all();
    const auto config = database_.server_config().all();
    for (const auto& kind : kept_kinds()) open_place(kind, kept_value(config, kind));
    const std::lock_guard lock(mutex_);
    unsettled_ = std::move(unsettled);
}

void KeptFiles::open_place(const KeptKind& kind, const std::string& wanted) {
    if (wanted.empty()) return;
    const auto row = find_kept_volume(database_, wanted);
    Result<KeptPlacePtr> place =
        row ? KeptPlace::on_volume(pools_, state_dir_, kind, *row)
            : Result<KeptPlacePtr>(fail(Status::not_found, "there is no such custom volume"));
    if (place) {
        if (auto begun = (*place)->begin(); !begun) place = std::unexpected(std::move(begun).error());
    }
    std::string trouble;
    if (!place) {
        trouble = fmt::format("Volume {} of {} cannot be used: {}", wanted, kind.key, place.error().message);
        log::error("files of the daemon cannot be reached", {{"error", trouble}});
        place = KeptPlace::unusable(state_dir_, kind, row ? row->id : -1, trouble);
    }
    note_trouble(database_, wanted, trouble);
    const std::lock_guard lock(mutex_);
    slot(kind.kind).place = *std::move(place);
}

KeptPlacePtr KeptFiles::place(Kept kind) const {
    const std::lock_guard lock(mutex_);
    return slot(kind).place;
}

Result<KeptWriting> KeptFiles::write(Kept kind) const {
    const std::lock_guard lock(mutex_);
    const Slot& here = slot(kind);
    if (!here.place->trouble().empty()) return fail(Status::unavailable, here.place->trouble());
    if (here.moves)
        return fail(Status::unavailable,
                    fmt::format("The {} are being moved to where {} says: try again when that is done",
                                kept_kind(kind).directory, kept_kind(kind).key));
    return KeptWriting{here.place, here.writers};
}

Reservations KeptFiles::reserved() const {
    const std::lock_guard lock(mutex_);
    auto out = unsettled_;
    for (const auto& kind : kept_kinds()) {
        if (const auto id = slot(kind.kind).place->volume(); id > 0) out.emplace_back(id, kind.key);
    }
    return out;
}

Result<> KeptFiles::settle(const database::IntentRecord& intent) const {
    const auto config = database_.server_config().all();
    for (const auto& kind : kept_kinds()) {
        if (api::value_of(intent.details, "key") != kind.key) continue;
        const auto current = volume_id(kept_value(config, kind));
        if (current < 0) return fail(Status::not_found, fmt::format("{}: no such volume", kind.key));
        for (const char* end : {"from", "to"}) {
            const auto id = parse_int(api::value_of(intent.details, end)).value_or(current);
            if (id >= 0 && id != current) LX_TRY(clear_kept_files(database_, pools_, state_dir_, kind, id));
        }
    }
    return database_.intents().remove(intent.id);
}

Reservations KeptFiles::settle_all() const {
    Reservations left;
    const auto intents = database_.intents().list();
    if (!intents) {
        log::error("intents cannot be read", {{"error", intents.error().message}});
        return left;
    }
    for (const auto& intent : *intents) {
        if (intent.kind != kKeptMoveIntent) continue;
        const auto settled = settle(intent);
        if (settled) {
            log::info("interrupted work was cleaned up after a crash", {{"kind", intent.kind}});
            continue;
        }
        log::error("files that were moved away are not removed yet", {{"error", settled.error().message}});
        const auto config = database_.server_config().all();
        const std::string key = api::value_of(intent.details, "key");
        const auto current = volume_id(api::value_of(config, key.c_str()));
        for (const char* end : {"from", "to"}) {
            const auto id = parse_int(api::value_of(intent.details, end));
            if (id && *id > 0 && *id != current) left.emplace_back(*id, key);
        }
    }
    return left;
}

void KeptFiles::settle_again(VolumeMounts& mounts) {
    {
        const std::lock_guard lock(mutex_);
        if (unsettled_.empty()) return;
    }
    auto left = settle_all();
    const std::lock_guard lock(mutex_);
    for (const auto& [volume, key] : unsettled_) mounts.end_reservation(volume, key);
    unsettled_.clear();
    for (auto& [volume, key] : left) {
        if (mounts.reserve(volume, key)) unsettled_.emplace_back(volume, key);
    }
}

Result<> KeptFiles::change(const api::ConfigMap& next, VolumeMounts& mounts,
                           const std::function<Result<>()>& store) {
    const auto before = database_.server_config().all();
    settle_again(mounts);
    std::vector<std::unique_ptr<KeptMove>> moves;
    for (const auto& kind : kept_kinds()) {
        const std::string wanted = kept_value(next, kind);
        if (wanted == kept_value(before, kind)) continue;
        LX_TRY_AS(auto move, KeptMove::begin(*this, mounts, kind, wanted, next));
        moves.push_back(std::move(move));
    }
    LX_TRY(store());
    for (auto& move : moves) move->finish();
    return {};
}

}  // namespace lxmgr::instances
