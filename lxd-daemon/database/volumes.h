#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::database {

class Connection;

/// A custom volume. Those of instances and images have no rows of their own.
struct VolumeRecord {
    std::int64_t id = 0;
    std::string pool, name;  ///< the name with its project: api::object_key()
    std::string volume;      ///< name of its directory in the pool: an id, so that renames do not touch it
    std::string description;
    api::ConfigMap config;
    Time created_at{};
    std::string content_type = "filesystem";  ///< or "block"
};
using VolumePtr = std::shared_ptr<const VolumeRecord>;

struct VolumeSnapshotRecord {
    std::int64_t id = 0, volume_id = 0;
    std::string name;
    std::string volume;  ///< its directory in the volume's pool, an id too
    std::string description;
    api::ConfigMap config;  ///< the volume's at that time
    Time created_at{}, expires_at{};
};
using VolumeSnapshotPtr = std::shared_ptr<const VolumeSnapshotRecord>;

/// Custom volumes and their snapshots, kept in memory as all repositories do (database.h).
class Volumes {
public:
    explicit Volumes(Connection& connection);
    ~Volumes();
    Result<> load();
    /// Errors: `conflict` when the pool has one of that name.
    Result<VolumePtr> create(VolumeRecord record);
    [[nodiscard]] VolumePtr find(const std::string& pool, const std::string& name) const;
    [[nodiscard]] VolumePtr find_id(std::int64_t id) const;
    [[nodiscard]] std::vector<VolumePtr> list(const std::string& pool) const;  ///< by name
    [[nodiscard]] std::vector<VolumePtr> list_all() const;
    /// By id; replaces all but created_at and content_type. `not_found` when it is gone, `conflict` when the
    /// new name is taken.
    Result<VolumePtr> update(const VolumeRecord& record);
    Result<> remove(std::int64_t id);  ///< its snapshots go with it

    /// Errors: `conflict` when the volume has one of that name.
    Result<VolumeSnapshotPtr> create_snapshot(VolumeSnapshotRecord record);
    [[nodiscard]] VolumeSnapshotPtr find_snapshot(std::int64_t volume_id, const std::string& name) const;
    [[nodiscard]] std::vector<VolumeSnapshotPtr> snapshots(std::int64_t volume_id) const;  ///< oldest first
    [[nodiscard]] std::vector<VolumeSnapshotPtr> all_snapshots() const;
    /// By id; replaces name, volume, description and expires_at.
    Result<VolumeSnapshotPtr> update_snapshot(const VolumeSnapshotRecord& record);
    Result<> remove_snapshot(const VolumeSnapshotRecord& record);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace lxmgr::database
