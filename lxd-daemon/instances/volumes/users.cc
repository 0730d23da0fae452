#include "lxd-daemon/instances/volumes/users.h"

#include <fmt/format.h>

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
    for (const auto& name : instances) out.push_back("/1.0/instances/" + name);
    for (const auto& name : profiles) out.push_back("/1.0/profiles/" + name);
    return out;
}

VolumeUserIndex::VolumeUserIndex(database::Database& database) {
    const auto note = [this](const api::DeviceMap& devices, std::vector<std::string> VolumeUsers::* list,
                             const std::string& user) {
        for (const auto& [name, keys] : devices) {
            const Key key = volume_of(keys);
            if (key.first.empty() || key.second.empty()) continue;
            auto& names = users_[key].*list;
            if (names.empty() || names.back() != user) names.push_back(user);
        }
    };
    for (const auto& record : database.instances().list())
        note(devices_of(database, *record), &VolumeUsers::instances, record->name);
    for (const auto& profile : database.profiles().list())
        note(profile->devices, &VolumeUsers::profiles, profile->name);
}

VolumeUsers VolumeUserIndex::of(const std::string& pool, const std::string& name) const {
    const auto found = users_.find({pool, name});
    return found == users_.end() ? VolumeUsers{} : found->second;
}

Result<> redirect_users(database::Database& database, const database::VolumeRecord& from,
                        const database::VolumeRecord& to) {
    const Key old_key{from.pool, from.name}, new_key{to.pool, to.name};
    for (const auto& record : database.instances().list()) {
        database::InstanceRecord next = *record;
        if (redirect(next.devices, old_key, new_key)) LX_TRY(database.instances().update(next));
    }
    for (const auto& profile : database.profiles().list()) {
        database::ProfileRecord next = *profile;
        if (redirect(next.devices, old_key, new_key)) LX_TRY(database.profiles().update(next));
    }
    return {};
}

}  // namespace lxmgr::instances
