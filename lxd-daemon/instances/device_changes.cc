#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/device_steps.h"
#include "lxd-daemon/instances/own_idmap.h"

/// Changes of devices while the instance runs: each step puts its own undo on the list of the whole update.
namespace lxmgr::instances {
namespace {

class LiveDevices {
public:
    /// @param coming  all devices that the instance is to have; null: those that are stored
    LiveDevices(Context& context, database::InstanceRecord& record, Revert& undo,
                std::shared_ptr<const api::DeviceMap> coming = nullptr)
        : context_(context),
          record_(record),
          idmap_(current_idmap(context, record.config)),
          undo_(undo),
          coming_(std::move(coming)) {}

    /// @param is_new  the instance had no device of this name: undone, it has nothing of it
    Result<> add(const std::string& name, const api::ConfigMap& keys, bool is_new) {
        LX_TRY_AS(const devices::DeviceType* type, hotpluggable(name, keys));
        auto started = start(*type, name, keys);
        if (!started) {
            take_back(*type, name, keys, is_new);
            return started;
        }
        undo_.add([this_copy = *this, type, name, keys, is_new]() mutable {
            [[maybe_unused]] const auto detached = this_copy.detach(*type, name, keys);
            this_copy.take_back(*type, name, keys, is_new);
        });
        return {};
    }
    Result<> remove(const std::string& name, const api::ConfigMap& keys, bool for_good) {
        LX_TRY_AS(const devices::DeviceType* type, hotpluggable(name, keys));
        LX_TRY(detach(*type, name, keys));
        undo_.add([this_copy = *this, type, name, keys]() mutable {
            this_copy.coming_.reset();
            this_copy.start_quietly(*type, name, keys);
        });
        failpoint("instances.device_detached");
        LX_TRY_AS(auto changes, type->stop(of(name, keys).device));
        merge(changes);
        if (!for_good) return {};
        LX_TRY_AS(changes, type->remove(of(name, keys).device));
        merge(changes);
        return {};
    }
    Result<> change(const std::string& name, const api::ConfigMap& before, const api::ConfigMap& after) {
        LX_TRY_AS(const devices::DeviceType* type, devices::find_type(name, after));
        if (!only_live_keys(*type, before, after)) {
            LX_TRY(remove(name, before, false));
            return add(name, after, false);
        }
        LX_TRY(type->update(of(name, before).device, of(name, after).device));
        undo_.add([this_copy = *this, type, name, before, after]() mutable {
            [[maybe_unused]] const auto restored =
                type->update(this_copy.of(name, after).device, this_copy.of(name, before).device);
        });
        return {};
    }

    /// After a crash in the middle of a change, whatever had been done of it.
    Result<> set_again(const std::string& name, const api::ConfigMap& old_keys,
                       const api::ConfigMap& new_keys, const api::ConfigMap* current) {
        const bool was = !old_keys.empty() && !new_keys.empty();
        // What of it was in force is so again, by DeviceType::recover().
        if (was && is_nic(new_keys) && is_live_change(name, old_keys, new_keys)) return {};
        for (const auto* keys : {&new_keys, &old_keys}) {
            const auto type = devices::find_type(name, *keys);
            if (!type) continue;
            // Interfaces that are lent: so that they are known to this daemon.
            if (is_nic(*keys)) static_cast<void>((*type)->recover(of(name, *keys).device).has_value());
            LX_TRY(detach(**type, name, *keys));
            take_back(**type, name, *keys, current == nullptr);
        }
        if (current == nullptr) return {};
        LX_TRY_AS(const devices::DeviceType* type, devices::find_type(name, *current));
        return start(*type, name, *current);
    }

private:
    struct Held {
        std::unique_ptr<devices::Surroundings> surroundings;
        devices::DeviceContext device;
    };
    Held of(const std::string& name, const api::ConfigMap& keys) {
        auto surroundings = make_surroundings(context_, coming_);
        auto& reference = *surroundings;
        return {std::move(surroundings),
                {record_.name, name, keys, record_.config, reference, idmap_, context_.deps.pools.idmaps()}};
    }
    static Result<const devices::DeviceType*> hotpluggable(const std::string& name,
                                                           const api::ConfigMap& keys) {
        LX_TRY_AS(const devices::DeviceType* type, devices::find_type(name, keys));
        if (type->hotplug()) return type;
        return fail(
            Status::bad_request,
            fmt::format(
                "Device '{}' cannot be added, changed or removed while the instance runs: stop it first",
                name));
    }
    static bool is_nic(const api::ConfigMap& keys) {
        const auto type = keys.find("type");
        return type != keys.end() && type->second == "nic";
    }
    static bool is_live_change(const std::string& name, const api::ConfigMap& before,
                               const api::ConfigMap& after) {
        const auto old_type = devices::find_type(name, before);
        const auto type = devices::find_type(name, after);
        return type && old_type && *type == *old_type && only_live_keys(**type, before, after);
    }
    static bool only_live_keys(const devices::DeviceType& type, const api::ConfigMap& before,
                               const api::ConfigMap& after) {
        const auto live = type.live_keys();
        const auto is_live = [&](const std::string& key) {
            return std::ranges::any_of(live, [&](std::string_view name) {
                const bool family = name.ends_with(".*");
                return family ? key.starts_with(name.substr(0, name.size() - 1)) : key == name;
            });
        };
        const auto same = [&](const api::ConfigMap& a, const api::ConfigMap& b) {
            return std::ranges::all_of(a, [&](const auto& entry) {
                const auto other = b.find(entry.first);
                const bool equal = other != b.end() && other->second == entry.second;
                return equal || is_live(entry.first);
            });
        };
        return same(before, after) && same(after, before);
    }
    Result<> start(const devices::DeviceType& type, const std::string& name, const api::ConfigMap& keys) {
        const auto context = of(name, keys);
        LX_TRY_AS(const auto kept, type.prepare(context.device));
        merge(kept);
        auto started = type.start(context.device);
        if (!started)
            return std::unexpected(in(fmt::format("Adding device '{}'", name), std::move(started).error()));
        merge(started->volatile_changes);
        // Before anything is made: stop() needs it after a crash.
        LX_TRY(store(kept_of(name)));
        auto put_in = put_into(*started);
        if (put_in) return {};
        stop_quietly(type, name, keys);
        return std::unexpected(in(fmt::format("Adding device '{}'", name), std::move(put_in).error()));
    }
    /// Into the running container.
    Result<> put_into(devices::Started& started) {
        if (started.in_network) {
            LX_TRY_AS(const UniqueFd netns, context_.deps.runtime.open_netns(record_.name));
            LX_TRY(started.in_network(netns.get()));
        }
        Revert undo;
        for (const auto& attach : started.attaches) {
            LX_TRY(context_.deps.runtime.attach(record_.name,
                                                {attach.mount.get(), attach.target, attach.is_directory}));
            undo.add([this, target = attach.target] {
                [[maybe_unused]] const auto gone = context_.deps.runtime.detach(record_.name, target, false);
            });
            failpoint("instances.device_attached");
        }
        if (started.when_running) {
            StartedDevices late;
            late.when_running.push_back(std::move(started.when_running));
            LX_TRY(finish_devices(context_, record_.name, late));
        }
        undo.commit();
        return {};
    }
    Result<> detach(const devices::DeviceType& type, const std::string& name, const api::ConfigMap& keys) {
        for (const auto& one : type.attached(of(name, keys).device)) {
            if (!one.target.empty())
                LX_TRY(context_.deps.runtime.detach(record_.name, one.target, one.remove_file));
            if (one.in_root) {
                LX_TRY_AS(const UniqueFd root, context_.deps.runtime.open_root(record_.name));
                LX_TRY(one.in_root(root.get()));
            }
            if (!one.in_network) continue;
            LX_TRY_AS(const UniqueFd netns, context_.deps.runtime.open_netns(record_.name));
            LX_TRY(one.in_network(netns.get()));
        }
        return {};
    }
    void stop_quietly(const devices::DeviceType& type, const std::string& name, const api::ConfigMap& keys) {
        if (auto changes = type.stop(of(name, keys).device)) keep(*changes);
    }
    void take_back(const devices::DeviceType& type, const std::string& name, const api::ConfigMap& keys,
                   bool for_good) {
        if (for_good) {
            remove_quietly(type, name, keys);
        } else {
            stop_quietly(type, name, keys);
        }
    }
    void remove_quietly(const devices::DeviceType& type, const std::string& name,
                        const api::ConfigMap& keys) {
        if (auto changes = type.remove(of(name, keys).device)) keep(*changes);
    }
    void keep(const api::ConfigMap& changes) {
        merge(changes);
        if (auto stored = store(changes); !stored)
            log::warn("device state not stored",
                      {{"instance", record_.name}, {"error", stored.error().message}});
    }
    /// All that is kept for a device, whoever chose it.
    [[nodiscard]] api::ConfigMap kept_of(const std::string& name) const {
        const std::string prefix = fmt::format("volatile.{}.", name);
        api::ConfigMap out;
        for (auto at = record_.config.lower_bound(prefix);
             at != record_.config.end() && at->first.starts_with(prefix); ++at) {
            out.insert(*at);
        }
        return out;
    }
    /// Not synced: it is worth as long as the run.
    Result<> store(const api::ConfigMap& changes) {
        if (changes.empty()) return {};
        database::ConfigChanges rows;
        for (const auto& [key, value] : changes)
            rows.emplace_back(key, value.empty() ? std::nullopt : std::optional(value));
        LX_TRY(context_.rows().change_config(record_.name, rows, false));
        return {};
    }
    void start_quietly(const devices::DeviceType& type, const std::string& name, const api::ConfigMap& keys) {
        [[maybe_unused]] const auto restored = start(type, name, keys);
    }
    void merge(const api::ConfigMap& changes) {
        for (const auto& [key, value] : changes) {
            if (value.empty()) {
                record_.config.erase(key);
            } else {
                record_.config[key] = value;
            }
        }
    }

    Context& context_;
    database::InstanceRecord& record_;
    sys::IdMap idmap_;
    Revert& undo_;
    std::shared_ptr<const api::DeviceMap> coming_;
};

constexpr std::string_view kOld = "old.";
constexpr std::string_view kNew = "new.";

const api::ConfigMap* find_device(const api::DeviceMap& devices, const std::string& name) {
    const auto found = devices.find(name);
    return found == devices.end() ? nullptr : &found->second;
}

bool is_of_intents(const api::ConfigMap* keys) {
    if (keys == nullptr) return false;
    const auto type = keys->find("type");
    return type != keys->end() && type->second != "none";
}

/// Devices of `devices` that are other or none in `others`.
void note_changed(const api::DeviceMap& devices, const api::DeviceMap& others, std::string_view prefix,
                  api::ConfigMap& details) {
    for (const auto& [name, keys] : devices) {
        const auto* other = find_device(others, name);
        if (is_of_intents(&keys) && (other == nullptr || *other != keys))
            details[std::string(prefix) + name] = nlohmann::json(keys).dump();
    }
}

api::ConfigMap parse_keys(const api::ConfigMap& details, const std::string& key) {
    const auto found = details.find(key);
    if (found == details.end()) return {};
    const auto keys = nlohmann::json::parse(found->second, nullptr, false);
    return keys.is_object() ? keys.get<api::ConfigMap>() : api::ConfigMap{};
}

void remove_intents(Context& context, const std::string& name) {
    const auto intents = context.deps.database.intents().list();
    if (!intents) return;
    for (const auto& intent : *intents) {
        const bool ours = intent.kind == kDeviceChangeIntent && intent.details.contains("name") &&
                          intent.details.at("name") == name;
        if (!ours) continue;
        if (auto removed = context.deps.database.intents().remove(intent.id); !removed)
            log::error("intent left", {{"instance", name}, {"error", removed.error().message}});
    }
}

}  // namespace

Result<> begin_device_change(Context& context, const std::string& name, const api::DeviceMap& before,
                             const api::DeviceMap& after, Revert& undo) {
    api::ConfigMap details;
    note_changed(before, after, kOld, details);
    note_changed(after, before, kNew, details);
    if (details.empty()) return {};
    details["name"] = name;
    // Not synced: a power cut ends the run, and the change with it.
    LX_TRY(context.deps.database.intents().add(kDeviceChangeIntent, details, false));
    undo.add([&context, name] { remove_intents(context, name); });
    failpoint("instances.device_intent");
    return {};
}

void end_device_change(Context& context, const std::string& name) {
    if (context.live.get(name).status != api::StatusCode::stopped) remove_intents(context, name);
}

Result<> recover_device_change(Context& context, const database::IntentRecord& intent) {
    const auto named = intent.details.find("name");
    const auto record = named == intent.details.end() ? nullptr : context.rows().find(named->second);
    if (!record || context.live.get(record->name).status == api::StatusCode::stopped) return {};
    std::set<std::string> changed;
    for (const auto& [key, value] : intent.details) {
        if (key.starts_with(kOld) || key.starts_with(kNew)) changed.insert(key.substr(kOld.size()));
    }
    auto copy = *record;
    Revert nothing;
    LiveDevices live(context, copy, nothing);
    const auto expanded = expand(context, *record);
    for (const auto& device : changed) {
        auto done = live.set_again(device, parse_keys(intent.details, std::string(kOld) + device),
                                   parse_keys(intent.details, std::string(kNew) + device),
                                   find_device(expanded.devices, device));
        if (!done) {
            log::warn("device not recovered",
                      {{"instance", record->name}, {"device", device}, {"error", done.error().message}});
        }
    }
    return {};
}

Result<> update_devices(Context& context, const ExpandedInstance& before, const ExpandedInstance& after,
                        database::InstanceRecord& record, Revert& undo) {
    LiveDevices live(context, record, undo, std::make_shared<const api::DeviceMap>(after.devices));
    for (const auto& [name, keys] : before.devices) {
        if (!after.devices.contains(name)) LX_TRY(live.remove(name, keys, true));
    }
    for (const auto& [name, keys] : after.devices) {
        const auto old = before.devices.find(name);
        if (old == before.devices.end()) {
            LX_TRY(live.add(name, keys, true));
        } else if (old->second != keys) {
            LX_TRY(live.change(name, old->second, keys));
        }
    }
    return {};
}

}  // namespace lxmgr::instances
