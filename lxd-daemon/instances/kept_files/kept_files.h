#pragma once
#include <array>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/instances/kept_files/place.h"

namespace lxmgr::instances {

class VolumeMounts;

/// For as long as somebody adds files: they are not moved meanwhile.
struct KeptWriting {
    KeptPlacePtr place;
    std::shared_ptr<const void> counted;
};

/// Ids of volumes, each with the server key that it is for.
using Reservations = std::vector<std::pair<std::int64_t, std::string>>;

/// Where images and backups are: in the state directory, or on the volumes that server keys name.
/// Thread-safe.
class KeptFiles {
public:
    /// All outlive this.
    KeptFiles(database::Database& database, Pools& pools, std::string state_dir);
    KeptFiles(KeptFiles&&) = delete;

    /// At daemon start, when the pools are open: finishes what a crash interrupted and mounts the volumes.
    /// One that cannot be had is logged and warned of: until it can, nothing is written.
    void open();
    /// For those who read or remove files.
    [[nodiscard]] KeptPlacePtr place(Kept kind) const;
    /// For those who add files. Errors: `unavailable` while they are being moved, or their volume cannot be
    /// had.
    [[nodiscard]] Result<KeptWriting> write(Kept kind) const;
    /// The volumes that nobody else may have, by row id, with what a move could not clear yet.
    [[nodiscard]] Reservations reserved() const;

    /// Lives by the server's config that `store` stores: moves the files between the places that the old and
    /// the new one name. A crash before `store` has stored it leaves them where they were, one after it
    /// where they are to be. One at a time. Errors: `bad_request`, and then nothing has changed.
    Result<> change(const api::ConfigMap& next, VolumeMounts& mounts, const std::function<Result<>()>& store);

private:
    friend class KeptMove;
    struct Slot {
        KeptPlacePtr place;
        std::shared_ptr<const int> writers = std::make_shared<const int>(0);
        bool moves = false;
    };
    [[nodiscard]] Slot& slot(Kept kind) const { return slots_.at(static_cast<std::size_t>(kind)); }
    void open_place(const KeptKind& kind, const std::string& wanted);
    /// The files of an intent are only where the stored config says: what is elsewhere goes, and the intent.
    Result<> settle(const database::IntentRecord& intent) const;
    /// The same of all intents; gives the volumes that could not be cleared, as reserved() has it.
    [[nodiscard]] Reservations settle_all() const;
    /// What could not be settled until now.
    void settle_again(VolumeMounts& mounts);
    /// The row id of the volume that a key's value names; 0: the state directory, -1: it is gone.
    [[nodiscard]] std::int64_t volume_id(const std::string& value) const;

    database::Database& database_;
    Pools& pools_;
    std::string state_dir_;
    mutable std::mutex mutex_;  ///< of the slots and of what follows
    mutable std::array<Slot, 2> slots_;
    Reservations unsettled_;
};

/// The custom volume of the project "default" that POOL/VOLUME names; null: there is none.
database::VolumePtr find_kept_volume(database::Database& database, const std::string& value);

}  // namespace lxmgr::instances
