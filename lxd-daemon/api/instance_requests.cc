#include "lxd-daemon/api/instance_requests.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/json_reader.h"

namespace lxmgr::api {
namespace {

constexpr std::int64_t kMaxTerminal = 65535;  // TIOCSWINSZ takes 16 bits
constexpr std::int64_t kMaxUid = 4294967294;  // 2^32-1 is "no id", setresuid(2)

// "container_only" is the name "instance_only" had before LXD 3.19; lxc 5.0.2 sends both.
void read_instance_only(Reader& reader, bool& out) {
    bool old_name = false;
    reader.flag("instance_only", out).flag("container_only", old_name);
    out = out || old_name;
}

Result<InstanceSource> parse_source(const nlohmann::json& object) {
    InstanceSource out;
    Reader reader(object, "source.");
    reader.text("type", out.type).text("alias", out.alias).text("fingerprint", out.fingerprint);
    reader.map("properties", out.properties).text("mode", out.mode).text("server", out.server);
    reader.text("protocol", out.protocol).text("certificate", out.certificate).text("secret", out.secret);
    reader.text("operation", out.operation).map("secrets", out.secrets).text("source", out.source);
    reader.text("base-image", out.base_image).text("project", out.project);
    reader.flag("live", out.live)
        .flag("refresh", out.refresh)
        .flag("allow_inconsistent", out.allow_inconsistent);
    read_instance_only(reader, out.instance_only);
    LX_TRY(reader.done());
    return out;
}

}  // namespace

Result<InstancesPost> parse_instances_post(const nlohmann::json& body) {
    InstancesPost out;
    Reader reader(body);
    reader.text("name", out.name).text("architecture", out.architecture).text("description", out.description);
    reader.text("type", out.type).text("instance_type", out.instance_type);
    reader.map("config", out.config).map("devices", out.devices).list("profiles", out.profiles);
    reader.flag("ephemeral", out.ephemeral).flag("stateful", out.stateful).flag("start", out.start);
    const auto* source = reader.object("source");
    LX_TRY(reader.done());
    if (source != nullptr) {
        LX_TRY_AS(out.source, parse_source(*source));
    }
    drop_empty(out.config);
    drop_empty(out.devices);
    return out;
}

Result<InstancePut> parse_instance_put(const nlohmann::json& body) {
    InstancePut out;
    Reader reader(body);
    reader.text("architecture", out.architecture).text("description", out.description);
    reader.map("config", out.config).map("devices", out.devices).list("profiles", out.profiles);
    reader.flag("ephemeral", out.ephemeral).flag("stateful", out.stateful).text("restore", out.restore);
    LX_TRY(reader.done());
    drop_empty(out.config);
    drop_empty(out.devices);
    return out;
}

Result<InstancePatch> parse_instance_patch(const nlohmann::json& body) {
    InstancePatch out;
    Reader reader(body);
    reader.text("architecture", out.architecture).text("description", out.description);
    reader.flag("ephemeral", out.ephemeral).list("profiles", out.profiles);
    reader.map("config", out.config).map("devices", out.devices);
    std::string restore;
    reader.text("restore", restore);
    LX_TRY(reader.done());
    if (!restore.empty())
        return fail(Status::bad_request, "A snapshot cannot be restored by PATCH: send 'restore' by PUT");
    drop_empty(out.devices);
    return out;
}

InstancePut apply_patch(const InstancePatch& patch, InstancePut current) {
    if (patch.architecture) current.architecture = *patch.architecture;
    if (patch.description) current.description = *patch.description;
    if (patch.ephemeral) current.ephemeral = *patch.ephemeral;
    if (patch.profiles) current.profiles = *patch.profiles;
    for (const auto& [key, value] : patch.config) current.config[key] = value;
    for (const auto& [name, device] : patch.devices) current.devices[name] = device;
    drop_empty(current.config);
    return current;
}

Result<InstancePost> parse_instance_post(const nlohmann::json& body) {
    InstancePost out;
    Reader reader(body);
    reader.text("name", out.name).text("pool", out.pool).text("project", out.project);
    reader.flag("migration", out.migration).flag("live", out.live);
    read_instance_only(reader, out.instance_only);
    out.has_target = reader.object("target") != nullptr;
    LX_TRY(reader.done());
    return out;
}

Result<InstanceStatePut> parse_instance_state_put(const nlohmann::json& body) {
    InstanceStatePut out;
    Reader reader(body);
    reader.text("action", out.action).number("timeout", out.timeout);
    reader.flag("force", out.force).flag("stateful", out.stateful);
    LX_TRY(reader.done());
    return out;
}

Result<InstanceStatePut> parse_instances_put(const nlohmann::json& body) {
    Reader reader(body);
    const auto* state = reader.object("state");
    LX_TRY(reader.done());
    if (state == nullptr) return fail(Status::bad_request, "The value of 'state' is missing");
    return parse_instance_state_put(*state);
}

Result<InstanceExecPost> parse_instance_exec_post(const nlohmann::json& body) {
    InstanceExecPost out;
    Reader reader(body);
    reader.list("command", out.command).map("environment", out.environment).text("cwd", out.cwd);
    reader.flag("wait-for-websocket", out.wait_for_websocket).flag("interactive", out.interactive);
    reader.flag("record-output", out.record_output);
    reader.number("width", out.width, 0, kMaxTerminal).number("height", out.height, 0, kMaxTerminal);
    reader.number("user", out.user, 0, kMaxUid).number("group", out.group, 0, kMaxUid);
    LX_TRY(reader.done());
    return out;
}

Result<InstanceConsolePost> parse_instance_console_post(const nlohmann::json& body) {
    InstanceConsolePost out;
    Reader reader(body);
    reader.number("width", out.width, 0, kMaxTerminal).number("height", out.height, 0, kMaxTerminal);
    reader.text("type", out.type).flag("force", out.force);
    LX_TRY(reader.done());
    return out;
}

}  // namespace lxmgr::api
