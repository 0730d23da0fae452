#pragma once
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <vector>

#include "images/backup_reader.h"
#include "lxd-daemon/operations/operation.h"
#include "storage/driver.h"

/// Private to the room: reading backups.
namespace lxmgr::instances {

struct BackupIndex {
    std::string name, pool;
    std::vector<std::string> snapshots;  ///< valid names
    nlohmann::json config;
};
/// @param type  "container" or "custom": what the backup must be of. Errors: `bad_request`.
Result<BackupIndex> read_index(const std::string& path, const std::string& type);

/// The object of that name in a list of the index; null when there is none.
const nlohmann::json* object_named(const nlohmann::json& config, const char* list, const std::string& name);

/// Volumes that are filled in one pass through a backup, each inside the making of the one before it.
class FilledVolumes {
public:
    struct Source {
        std::string path, metadata_prefix;
    };
    FilledVolumes(storage::Driver& driver, Source source, operations::Operation& operation,
                  std::stop_token stop)
        : driver_(driver), source_(std::move(source)), operation_(operation), stop_(std::move(stop)) {}

    void add(storage::Volume volume, std::string prefix);
    /// On failure, those that were made last may be left.
    Result<images::Metadata> make();

private:
    Result<> make_from(std::size_t at);
    Result<> unpack();

    storage::Driver& driver_;
    Source source_;
    operations::Operation& operation_;
    std::stop_token stop_;
    std::vector<storage::Volume> volumes_;
    std::vector<images::BackupPart> parts_;
    images::Metadata metadata_;
};

}  // namespace lxmgr::instances
