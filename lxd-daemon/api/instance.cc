#include "lxd-daemon/api/instance.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/json_writer.h"

namespace lxmgr::api {
namespace {

void write_members(ObjectWriter& object, const Instance& instance) {
    object.text("architecture", instance.architecture);
    object.map("config", instance.config);
    object.map("devices", instance.devices);
    object.flag("ephemeral", instance.ephemeral);
    object.list("profiles", instance.profiles);
    object.flag("stateful", instance.stateful);
    object.text("description", instance.description);
    object.time("created_at", instance.created_at);
    object.map("expanded_config", instance.expanded_config);
    object.map("expanded_devices", instance.expanded_devices);
    object.text("name", instance.name);
    object.text("status", status_text(instance.status));
    object.number("status_code", static_cast<int>(instance.status));
    object.time("last_used_at", instance.last_used_at);
    object.text("location", instance.location);
    object.text("type", instance.type);
    object.text("project", instance.project);
}

}  // namespace

std::string to_json_text(const Instance& instance) {
    std::string out;
    out.reserve(2048);
    ObjectWriter object(out);
    write_members(object, instance);
    object.end();
    return out;
}

std::string to_full_json_text(const Instance& instance, const InstanceState& state,
                              const std::string& snapshots, const std::string& backups) {
    std::string out;
    out.reserve(4096);
    ObjectWriter object(out);
    write_members(object, instance);
    object.raw("backups") += backups;
    object.raw("state") += to_json_text(state);
    object.raw("snapshots") += snapshots;
    object.end();
    return out;
}

nlohmann::json to_json(const Instance& instance) { return nlohmann::json::parse(to_json_text(instance)); }

nlohmann::json etag_fields(const Instance& instance) {
    return {{"architecture", instance.architecture}, {"config", instance.config},
            {"devices", instance.devices},           {"ephemeral", instance.ephemeral},
            {"profiles", instance.profiles},         {"description", instance.description}};
}

}  // namespace lxmgr::api
