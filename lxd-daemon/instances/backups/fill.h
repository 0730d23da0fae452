#pragma once
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "images/backup_reader.h"
#include "lxd-daemon/instances/backups/index.h"
#include "lxd-daemon/operations/operation.h"
#include "storage/streams.h"

/// Private to the room: reading backups.
namespace lxmgr::instances {

/// What the volumes of a backup are made by, in one pass through it.
class BackupVolumes {
public:
    virtual ~BackupVolumes() = default;
    /// @param place  "backup/container": where the backup has it
    virtual void add(storage::Volume volume, const std::string& place) = 0;
    /// Gives what the image of an instance said. On failure, volumes may be left.
    virtual Result<images::Metadata> make() = 0;
};

/// From plain trees: each is filled inside the making of the one before it.
class FilledVolumes final : public BackupVolumes {
public:
    struct Source {
        std::shared_ptr<images::BackupReader> content;
        std::string metadata_prefix;
        std::string tree;  ///< below the place of each: "/rootfs"
    };
    FilledVolumes(storage::Driver& driver, Source source, operations::Operation& operation,
                  std::stop_token stop)
        : driver_(driver), source_(std::move(source)), operation_(operation), stop_(std::move(stop)) {}

    void add(storage::Volume volume, const std::string& place) override;
    /// @param ids  those that the files have in the backup; none: as inside
    void add_stored(storage::Volume volume, const std::string& place, const sys::IdMap& ids);
    /// A block volume's content, which goes into a file of that name.
    void add_content(storage::Volume volume, const std::string& place, const std::string& file);
    Result<images::Metadata> make() override;

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

/// From streams of the storage driver.
class StreamedVolumes final : public BackupVolumes {
public:
    /// By place: the ids that a volume's files have on the disk they come from.
    using StoredIds = std::map<std::string, sys::IdMap>;
    struct Source {
        std::shared_ptr<images::BackupReader> content;
        StoredIds ids;
    };
    StreamedVolumes(storage::Driver& driver, Source source, operations::Operation& operation,
                    std::stop_token stop)
        : driver_(driver), source_(std::move(source)), operation_(operation), stop_(std::move(stop)) {}

    void add(storage::Volume volume, const std::string& place) override;
    Result<images::Metadata> make() override;

private:
    struct Part {
        storage::Volume volume;
        std::string place;
    };
    Result<> finish(storage::StreamReceiver& receiver, const Part& part);

    storage::Driver& driver_;
    Source source_;
    operations::Operation& operation_;
    std::stop_token stop_;
    std::vector<Part> parts_;
    std::vector<storage::Volume> made_;
    images::Metadata metadata_;
};

}  // namespace lxmgr::instances
