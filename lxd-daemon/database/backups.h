#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::database {

class Connection;

/// A stored backup of an instance or of a custom volume. It goes with what it is of.
struct BackupRecord {
    std::int64_t id = 0;
    std::int64_t instance_id = 0, volume_id = 0;  ///< one of them is 0
    std::string name;
    std::string file;  ///< its file's name, an id
    bool without_snapshots = false;
    Time created_at{}, expires_at{};  ///< the epoch: never
    bool optimized = false;           ///< in its storage driver's own form
};
using BackupPtr = std::shared_ptr<const BackupRecord>;

/// Kept in memory as all repositories do (database.h).
class Backups {
public:
    explicit Backups(Connection& connection);
    ~Backups();
    Result<> load();
    /// Errors: `conflict` when there is one of that name.
    Result<BackupPtr> create(BackupRecord record);
    [[nodiscard]] BackupPtr find(std::int64_t instance_id, std::int64_t volume_id,
                                 const std::string& name) const;
    [[nodiscard]] std::vector<BackupPtr> list(std::int64_t instance_id,
                                              std::int64_t volume_id) const;  ///< oldest first
    [[nodiscard]] std::vector<BackupPtr> list_all() const;
    Result<BackupPtr> rename(const BackupRecord& record, const std::string& new_name);
    Result<> remove(const BackupRecord& record);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace lxmgr::database
