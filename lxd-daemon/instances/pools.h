#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "lxd-daemon/base/result.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/instances/named_turns.h"
#include "lxd-daemon/sys/idmap.h"
#include "storage/driver.h"

namespace lxmgr::instances {

/// A pool's driver. Who makes something there holds it until a row names the pool: it is not deleted
/// meanwhile.
using DriverPtr = std::shared_ptr<storage::Driver>;
class KeptFiles;  // kept_files/kept_files.h

/// The storage pools as they are in use: the database's rows, each with its open driver. Thread-safe; a pool
/// is deleted only when no row names it and nobody holds its driver.
class Pools {
public:
    /// @param state_dir the daemon's directory; pools live in state_dir/storage-pools/NAME
    Pools(database::Database& database, std::string state_dir);
    Pools(Pools&&) = delete;
    ~Pools();

    /// Opens every pool of the database and removes what a crash left half-made. A pool that cannot be opened
    /// is kept, unusable, with a warning: the rest of the daemon goes on.
    void open_all();

    /// Errors: `not_found` "Storage pool not found"; `unavailable` when it could not be opened.
    Result<DriverPtr> driver(const std::string& pool) const;
    /// Validates, makes the pool on disk, then the row. Errors: `bad_request`, `conflict`.
    Result<database::PoolPtr> create(database::PoolRecord record);
    /// A pool whose row was lost, opened as it is on the disk; the others do not see it yet. Errors:
    /// `bad_request`, `not_found` when there is none.
    Result<DriverPtr> open_lost(const database::PoolRecord& record);
    /// Such a pool gets its row.
    Result<> take_over(const database::PoolRecord& record, DriverPtr driver);
    /// Changes description, user.* and volume.* keys, and what its driver can change. Errors: `not_found`,
    /// `bad_request` for keys that cannot change.
    Result<database::PoolPtr> update(const database::PoolRecord& record);
    /// Config of a custom volume there: `bad_request` also for keys that the pool's driver does not know.
    Result<> check_volume_config(const std::string& pool, const api::ConfigMap& config) const;
    /// Takes from a volume's config what only other drivers know: it was made for another pool.
    void drop_foreign_keys(const std::string& pool, api::ConfigMap& config) const;
    /// Bytes a second that rsync.bwlimit of these pools leaves to what is copied from one to another or to
    /// another server: the least of them; 0: no limit.
    [[nodiscard]] std::uint64_t copy_rate(const std::vector<std::string>& pools) const;
    /// rsync.compression.
    [[nodiscard]] bool compresses(const std::string& pool) const;
    /// Errors: `bad_request` "The storage pool is currently in use" while anything in it is used or
    /// made.
    Result<> remove(const std::string& pool);
    /// URLs of what uses the pool: instances, images, profiles.
    [[nodiscard]] std::vector<std::string> used_by(const std::string& pool) const;
    /// True when the image has been unpacked in the pool.
    [[nodiscard]] bool has_image(const std::string& pool, const std::string& fingerprint) const;
    /// Removes the image's volume from every pool that has it; containers that stand on it go on.
    Result<> remove_image(const std::string& fingerprint);
    [[nodiscard]] sys::IdmapCache& idmaps() { return idmaps_; }
    /// Held while the files of an image come or go.
    [[nodiscard]] std::mutex& image_files_mutex() { return image_files_mutex_; }
    /// What the daemon itself may keep on volumes.
    [[nodiscard]] KeptFiles& kept_files() { return *kept_files_; }

private:
    /// With source.recover=true: one that is there, as it is.
    Result<database::PoolPtr> create_from_source(database::PoolRecord record);
    [[nodiscard]] storage::PoolConfig config_of(const database::PoolRecord& record) const;
    Result<DriverPtr> open_driver(const database::PoolRecord& record);
    Result<> require_unused(const std::string& pool) const;
    /// From then on nobody gets its driver; null when it could not be opened. Errors: somebody holds it.
    Result<DriverPtr> withdraw(const std::string& pool);

    database::Database& database_;
    std::string state_dir_;
    sys::IdmapCache idmaps_;
    std::mutex image_files_mutex_;
    mutable std::shared_mutex mutex_;
    NamedTurns turns_;                          ///< what makes, takes over or deletes a pool of one name
    std::map<std::string, DriverPtr> drivers_;  ///< null: could not be opened
    std::unique_ptr<KeptFiles> kept_files_;     ///< last: it is on the pools
};

/// A pool's volume.* keys without that prefix: what new custom volumes get where their request says nothing.
api::ConfigMap volume_defaults(const api::ConfigMap& pool_config);

/// Errors: `bad_request` for keys of volumes that only other drivers know.
Result<> check_driver_keys(const api::ConfigMap& volume_config, const storage::DriverEntry& driver);

/// The pool of the root disk in expanded devices (path "/"), as (device name, pool). `bad_request` when there
/// is none.
Result<std::pair<std::string, std::string>> root_disk(const api::DeviceMap& expanded_devices);

}  // namespace lxmgr::instances
