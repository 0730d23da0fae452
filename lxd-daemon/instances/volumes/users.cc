#include "lxd-daemon/instances/volumes/users.h"

#include <fmt/format.h>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/instances/kept_files/place.h"
#include "profiles/expand.h"

namespace lxmgr::instances {
namespace {

using Key = std::pair<std::string, std::string>;

/// The volume of a disk device; of all others, a key with an empty name.
Key volume_of(const api::ConfigMap& keys) {
    if (api::value_of(keys, "type") != "disk") return {};
    return {api::value_of(keys, "pool"), api::value_of(keys, "source")};
}

bool has_volume(const api::DeviceMap& devices) {
    for (const auto& [name, keys] : devices) {
        const Key key = volume_of(keys);
        if (!key.first.empty() && !key.second.empty()) return true;
    }
    return false;
}

/// Most instances have no volume: seen without merging anything.
api::DeviceMap devices_of(database::Database& database, const database::InstanceRecord& record) {
    std::vector<database::ProfilePtr> held;
    std::vector<profiles::Layer> layers;
    bool any = has_volume(record.devices);
    for (const auto& name : record.profiles) {
        auto profile = database.profiles().find(name);
        if (!profile) continue;
        any = any || has_volume(profile->devices);
        layers.push_back({&profile->config, &profile->devices});
        held.push_back(std::move(profile));
    }
    if (!any) return {};
    layers.push_back({&record.config, &record.devices});
    return profiles::expand(layers).devices;
}

/// The volume that users in the project name so.
std::string key_in(database::Database& database, const std::string& project, const std::string& name) {
    return api::object_key(database.projects().holder(database::Feature::volumes, project), name);
}

bool redirect(api::DeviceMap& devices, const Key& from, const Key& to) {
    bool changed = false;
    for (auto& [name, keys] : devices) {
        if (volume_of(keys) != from) continue;
        keys["pool"] = to.first;
        keys["source"] = to.second;
        changed = true;
    }
    return changed;
}

}  // namespace

std::vector<std::string> VolumeUsers::urls() const {
    std::vector<std::string> out;
    for (const auto& key : instances) out.push_back(api::instance_url(key));
    for (const auto& key : profiles) out.push_back(api::profile_url(key));
    if (daemon) out.emplace_back("/1.0");
    return out;
}

VolumeUserIndex::VolumeUserIndex(database::Database& database) {
    const auto note = [&](const api::DeviceMap& devices, std::vector<std::string> VolumeUsers::* list,
                          const std::string& user, const std::string& project) {
        for (const auto& [name, keys] : devices) {
            Key key = volume_of(keys);
            if (key.first.empty() || key.second.empty()) continue;
            key.second = key_in(database, project, key.second);
            auto& names = users_[key].*list;
            if (names.empty() || names.back() != user) names.push_back(user);
        }
    };
    for (const auto& record : database.instances().list())
        note(devices_of(database, *record), &VolumeUsers::instances, record->name,
             api::split_instance_key(record->name).project);
    const auto config = database.server_config().all();
    for (const auto& kind : kept_kinds()) {
        const auto [pool, name] = split_kept_volume(api::value_of(config, kind.key));
        if (!pool.empty()) users_[{pool, name}].daemon = true;
    }
    for (const auto& profile : database.profiles().list())
        note(profile->devices, &VolumeUsers::profiles, profile->name,
             api::split_object_key(profile->name).project);
}

VolumeUsers VolumeUserIndex::of(const std::string& pool, const std::string& name) const {
    const auto found = users_.find({pool, name});
    return found == users_.end() ? VolumeUsers{} : found->second;
}

Result<> redirect_users(database::Database& database, const database::VolumeRecord& from,
                        const database::VolumeRecord& to) {
    const Key old_key{from.pool, api::plain_name(from.name)}, new_key{to.pool, api::plain_name(to.name)};
    const auto is_meant = [&](const std::string& project) {
        return key_in(database, project, old_key.second) == from.name;
    };
    for (const auto& record : database.instances().list()) {
        if (!is_meant(api::split_instance_key(record->name).project)) continue;
        database::InstanceRecord next = *record;
        if (redirect(next.devices, old_key, new_key)) LX_TRY(database.instances().update(next));
    }
    for (const auto& profile : database.profiles().list()) {
        if (!is_meant(api::split_object_key(profile->name).project)) continue;
        database::ProfileRecord next = *profile;
        if (redirect(next.devices, old_key, new_key)) LX_TRY(database.profiles().update(next));
    }
    return {};
}

}  // namespace lxmgr::instances
