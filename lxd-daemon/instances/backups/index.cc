#include "lxd-daemon/instances/backups/index.h"

#include <fmt/format.h>

#include "lxd-daemon/api/json_reader.h"
#include "lxd-daemon/instances/snapshots.h"

namespace lxmgr::instances {
namespace {

constexpr std::size_t kMaxSnapshots = 1000;

}  // namespace

Result<BackupIndex> parse_index(const nlohmann::json& object, const std::string& type) {
    BackupIndex out;
    std::string found = "container";
    bool optimized = false;
    api::Reader reader(object);
    reader.text("name", out.name)
        .text("pool", out.pool)
        .text("type", found)
        .flag("optimized", optimized)
        .text("backend", out.form)
        .list("snapshots", out.snapshots);
    const nlohmann::json* config = reader.object("config");
    if (auto done = reader.done(); !done)
        return std::unexpected(in("The backup's index", std::move(done).error()));
    if (found != type)
        return fail(Status::bad_request,
                    fmt::format("The backup is of type '{}': '{}' is needed here", found, type));
    if (!optimized) out.form.clear();
    if (optimized && out.form.empty())
        return fail(Status::bad_request, "The backup's index does not say which storage driver can read it");
    if (config == nullptr) return fail(Status::bad_request, "The backup's index has no config");
    out.config = *config;
    if (out.snapshots.size() > kMaxSnapshots)
        return fail(Status::bad_request, fmt::format("The backup has more than {} snapshots", kMaxSnapshots));
    for (const auto& name : out.snapshots) LX_TRY(validate_snapshot_name(name));
    return out;
}

Result<BackupIndex> read_index(images::BackupReader& backup, const std::string& type) {
    LX_TRY_AS(const nlohmann::json object, backup.index());
    return parse_index(object, type);
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

}  // namespace lxmgr::instances
