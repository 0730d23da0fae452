#include "lxd-daemon/api/instance_snapshot.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/json_reader.h"
#include "lxd-daemon/api/json_writer.h"

namespace lxmgr::api {

std::string to_json_text(const InstanceSnapshot& snapshot) {
    std::string out;
    ObjectWriter object(out);
    object.text("architecture", snapshot.architecture);
    object.map("config", snapshot.config);
    object.time("created_at", snapshot.created_at);
    object.map("devices", snapshot.devices);
    object.flag("ephemeral", snapshot.ephemeral);
    object.map("expanded_config", snapshot.expanded_config);
    object.map("expanded_devices", snapshot.expanded_devices);
    object.time("expires_at", snapshot.expires_at);
    object.time("last_used_at", snapshot.last_used_at);
    object.text("name", snapshot.name);
    object.list("profiles", snapshot.profiles);
    object.flag("stateful", false);
    object.number("size", snapshot.size_bytes);
    object.end();
    return out;
}

std::string to_json_text(const std::vector<InstanceSnapshot>& snapshots) {
    if (snapshots.empty()) return "null";
    std::string out;
    for (const auto& snapshot : snapshots) out += (out.empty() ? "[" : ",") + to_json_text(snapshot);
    return out + "]";
}

nlohmann::json etag_fields(const InstanceSnapshot& snapshot) {
    return {{"expires_at", to_rfc3339(snapshot.expires_at)}};
}

Result<InstanceSnapshotsPost> parse_instance_snapshots_post(const nlohmann::json& body) {
    InstanceSnapshotsPost out;
    Reader reader(body);
    reader.text("name", out.name).flag("stateful", out.stateful).time("expires_at", out.expires_at);
    LX_TRY(reader.done());
    return out;
}

Result<InstanceSnapshotPost> parse_instance_snapshot_post(const nlohmann::json& body) {
    InstanceSnapshotPost out;
    Reader reader(body);
    reader.text("name", out.name).flag("migration", out.migration);
    LX_TRY(reader.done());
    return out;
}

Result<InstanceSnapshotPut> parse_instance_snapshot_put(const nlohmann::json& body) {
    InstanceSnapshotPut out;
    Reader reader(body);
    reader.time("expires_at", out.expires_at);
    LX_TRY(reader.done());
    return out;
}

}  // namespace lxmgr::api
