#include "lxd-daemon/instances/backups/fill.h"

#include <fmt/format.h>
#include <unistd.h>

#include "lxd-daemon/api/json_reader.h"
#include "lxd-daemon/instances/snapshots.h"

namespace lxmgr::instances {
namespace {

constexpr std::size_t kMaxSnapshots = 1000;

}  // namespace

Result<BackupIndex> read_index(const std::string& path, const std::string& type) {
    LX_TRY_AS(const nlohmann::json object, images::read_backup_index(path, {}));
    BackupIndex out;
    std::string found = "container";
    bool optimized = false;
    api::Reader reader(object);
    reader.text("name", out.name)
        .text("pool", out.pool)
        .text("type", found)
        .flag("optimized", optimized)
        .list("snapshots", out.snapshots);
    const nlohmann::json* config = reader.object("config");
    if (auto done = reader.done(); !done)
        return std::unexpected(in("The backup's index", std::move(done).error()));
    if (found != type)
        return fail(Status::bad_request,
                    fmt::format("The backup is of type '{}': '{}' is needed here", found, type));
    if (optimized)
        return fail(Status::bad_request, "The backup is in a storage driver's own (optimized) format");
    if (config == nullptr) return fail(Status::bad_request, "The backup's index has no config");
    out.config = *config;
    if (out.snapshots.size() > kMaxSnapshots)
        return fail(Status::bad_request, fmt::format("The backup has more than {} snapshots", kMaxSnapshots));
    for (const auto& name : out.snapshots) LX_TRY(validate_snapshot_name(name));
    return out;
}

const nlohmann::json* object_named(const nlohmann::json& config, const char* list, const std::string& name) {
    if (!config.contains(list) || !config[list].is_array()) return nullptr;
    for (const auto& one : config[list]) {
        const bool named = one.is_object() && one.contains("name") && one["name"].is_string();
        if (!named) continue;
        const auto& full = one["name"].get_ref<const std::string&>();
        if (full.substr(full.rfind('/') + 1) == name) return &one;
    }
    return nullptr;
}

void FilledVolumes::add(storage::Volume volume, std::string prefix) {
    volumes_.push_back(std::move(volume));
    parts_.push_back({std::move(prefix), -1});
}

Result<images::Metadata> FilledVolumes::make() {
    LX_TRY(make_from(0));
    return std::move(metadata_);
}

Result<> FilledVolumes::make_from(std::size_t at) {
    if (at == volumes_.size()) return unpack();
    return driver_.create_volume(volumes_[at], [this, at](int root_fd) -> Result<> {
        parts_[at].root_fd = root_fd;
        LX_TRY(make_from(at + 1));
        if (at == 0 && ::syncfs(root_fd) != 0) return fail_errno("syncfs", "the new volume");
        return {};
    });
}

Result<> FilledVolumes::unpack() {
    images::UnpackLimits limits;
    LX_TRY_AS(const auto space, driver_.space());
    limits.max_bytes = space.total_bytes;  // a full pool ends what is hostile or too large
    const auto progress = [this](int percent) {
        operation_.update_metadata(
            {{"create_instance_from_backup_unpack_progress", fmt::format("Unpacking: {}%", percent)}});
    };
    LX_TRY_AS(metadata_,
              images::unpack_backup(source_.path, parts_, source_.metadata_prefix, limits, stop_, progress));
    return {};
}

}  // namespace lxmgr::instances
