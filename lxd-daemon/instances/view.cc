#include <nlohmann/json.hpp>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/instances/context.h"
#include "profiles/expand.h"

namespace lxmgr::instances {

void Context::lifecycle(const std::string& action, const std::string& name, const std::string& requestor,
                        const nlohmann::json& context) const {
    if (deps.events.idle(events::Kind::lifecycle)) return;
    const auto source = api::split_url("/1.0/instances/" + name);
    nlohmann::json metadata{{"action", action}, {"source", source.url}};
    if (!context.is_null()) metadata["context"] = context;
    if (!requestor.empty()) metadata["requestor"] = nlohmann::json::parse(requestor, nullptr, false);
    deps.events.publish(events::Kind::lifecycle, source.project, metadata.dump());
}

Result<database::InstancePtr> require(const Context& context, const std::string& name) {
    auto record = context.rows().find(name);
    if (!record) return fail(Status::not_found, "Instance not found");
    return record;
}

ExpandedInstance expand(const Context& context, const database::InstanceRecord& record) {
    std::vector<database::ProfilePtr> held;
    std::vector<profiles::Layer> layers;
    for (const auto& name : record.profiles) {
        auto profile = context.deps.database.profiles().find(name);
        if (!profile) continue;
        layers.push_back({&profile->config, &profile->devices});
        held.push_back(std::move(profile));
    }
    layers.push_back({&record.config, &record.devices});
    auto merged = profiles::expand(layers);
    return {std::move(merged.config), std::move(merged.devices)};
}

api::Instance view(const Context& context, const database::InstanceRecord& record) {
    auto expanded = expand(context, record);
    api::Instance out;
    auto named = api::split_instance_key(record.name);
    out.project = std::move(named.project);
    out.name = std::move(named.name);
    out.type = record.type;
    out.description = record.description;
    out.architecture = record.architecture;
    out.status = shown_status(context.live.get(record.name));
    out.ephemeral = record.ephemeral;
    out.config = record.config;
    out.devices = record.devices;
    out.expanded_config = std::move(expanded.config);
    out.expanded_devices = std::move(expanded.devices);
    out.profiles = api::plain_names(record.profiles);
    out.created_at = record.created_at;
    out.last_used_at = record.last_used_at;
    return out;
}

}  // namespace lxmgr::instances
