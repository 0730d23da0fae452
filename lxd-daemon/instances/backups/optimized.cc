// Backups in the form of the storage driver, as LXD 5.0.2 writes them: backup/index.yaml,
// backup/optimized_header.yaml, backup/snapshots/NAME.bin, backup/container.bin, where each stream says how
// the volume differs from the one before it. Beside the tree of each are backup.yaml, metadata.yaml and
// templates.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/write_all.h"
#include "images/yaml_json.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/instances/backups/steps.h"
#include "lxd-daemon/instances/metadata.h"
#include "lxd-daemon/instances/snapshots.h"
#include "storage/streams.h"

namespace lxmgr::instances {
namespace {

using nlohmann::json;

Result<> put_file(int directory, const std::string& name, const std::string& content, mode_t mode) {
    if (::unlinkat(directory, name.c_str(), 0) != 0 && errno != ENOENT) return fail_errno("Removing", name);
    const UniqueFd file(
        ::openat(directory, name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, mode));
    if (!file) return fail_errno("Creating", name);
    if (::fchmod(file.get(), mode) != 0) return fail_errno("chmod", name);
    return images::write_all(file.get(), content, name);
}

/// Into a copy that nobody else knows.
Result<> put_beside(int directory, const json& config, const images::Metadata& metadata) {
    LX_TRY(put_file(directory, "backup.yaml", images::json_to_yaml(config), 0400));
    return put_metadata_beside(directory, metadata);
}

struct StreamedPart {
    std::string snapshot;  ///< empty: the instance itself
    storage::StreamSender::Measured stream;
};

std::string place_of(const StreamedPart& part) {
    return part.snapshot.empty() ? "backup/container.bin"
                                 : fmt::format("backup/snapshots/{}.bin", part.snapshot);
}

Result<> write_parts(const std::vector<StreamedPart>& parts, storage::StreamSender& sender,
                     images::TarWriter& tar) {
    json header{{"subvolumes", json::array()}};
    for (const auto& part : parts) {
        header["subvolumes"].push_back({{"path", "/"},
                                        {"snapshot", part.snapshot},
                                        {"readonly", !part.snapshot.empty()},
                                        {"uuid", part.stream.uuid}});
    }
    LX_TRY(tar.add_text("backup/optimized_header.yaml", images::json_to_yaml(header), 0644));
    for (std::size_t i = 0; i < parts.size(); ++i) {
        LX_TRY(tar.add_bytes(place_of(parts[i]), parts[i].stream.bytes, 0600,
                             [&](const images::ByteSink& sink) { return sender.send(i, sink); }));
    }
    return {};
}

}  // namespace

Result<> put_metadata_beside(int directory, const images::Metadata& metadata) {
    LX_TRY(put_file(directory, "metadata.yaml", images::to_yaml(metadata), 0644));
    if (metadata.files.empty()) return {};
    if (::mkdirat(directory, "templates", 0755) != 0) return fail_errno("mkdir", "templates");
    const UniqueFd templates(::openat(directory, "templates", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!templates) return fail_errno("Opening", "templates");
    for (const auto& [name, content] : metadata.files) LX_TRY(put_file(templates.get(), name, content, 0644));
    return {};
}

Result<> require_streams(Context& context, const std::string& pool) {
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(pool));
    if (driver->streams() != nullptr) return {};
    return fail(
        Status::bad_request,
        fmt::format("optimized_storage needs a pool of driver btrfs, which '{}' is not: leave it out", pool));
}

Result<> write_optimized_backup(Context& context, const database::InstanceRecord& record, bool with_snapshots,
                                images::TarWriter& tar) {
    LX_TRY(require_streams(context, record.pool));
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record.pool));
    LX_TRY_AS(const auto metadata, metadata_of(context, record));
    BackupContent content;
    LX_TRY(write_instance_index(context, record, with_snapshots, driver->streams()->form(), tar, content));
    // The root goes on changing, and is not to be frozen for longer than a copy takes.
    const auto moment = new_snapshot_volume();
    LX_TRY(copy_root(context, record, *driver, moment));
    Revert undo;
    undo.add([&] { delete_snapshot_volume(context, record.pool, moment.name); });
    failpoint("instances.backup.moment");
    const auto sender = driver->streams()->sender();
    const auto put = [&](int directory) { return put_beside(directory, content.config, *metadata); };
    std::vector<StreamedPart> parts;
    const auto take = [&](const std::string& snapshot, const storage::Volume& volume) -> Result<> {
        if (auto taken = sender->take(volume, put); !taken) {
            Error error = std::move(taken).error();
            if (error.status == Status::bad_request)
                error.message += ": back it up without optimized_storage";
            return std::unexpected(std::move(error));
        }
        LX_TRY_AS(auto stream, sender->measure(parts.size()));
        parts.push_back({snapshot, std::move(stream)});
        return {};
    };
    for (const auto& row : content.snapshots)
        LX_TRY(take(row->name, {storage::VolumeType::snapshot, row->volume}));
    LX_TRY(take("", moment));
    failpoint("instances.backup.taken");
    return write_parts(parts, *sender, tar);
}

}  // namespace lxmgr::instances
