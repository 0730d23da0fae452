#include "lxd-daemon/instances/guest.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <set>

#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/instances/settings.h"
#include "lxd-daemon/sys/path.h"

namespace lxmgr::instances {
namespace {

constexpr const char* kCloudInitKeys[] = {
    "cloud-init.network-config", "cloud-init.user-data", "cloud-init.vendor-data", "user.meta-data",
    "user.network-config",       "user.user-data",       "user.vendor-data"};

/// "DEVICE=NAME" of each NIC.
std::set<std::string> nic_names(const api::DeviceMap& devices) {
    std::set<std::string> names;
    for (const auto& [device, keys] : devices) {
        if (api::value_of(keys, "type") == "nic") names.insert(device + "=" + api::value_of(keys, "name"));
    }
    return names;
}

Result<> attach_directory(Context& context, const std::string& name) {
    LX_TRY_AS(const UniqueFd mount, GuestSockets::mount(context.run_dir(name)));
    return context.deps.runtime.attach(name, {mount.get(), kGuestDirectory, true});
}

/// Whether our directory is what the instance sees there. What cannot be looked at is not.
bool is_attached(Context& context, const std::string& name) {
    struct stat ours{}, theirs{};
    const auto root = context.deps.runtime.open_root(name);
    if (!root) return false;
    const auto directory = sys::open_in_root(root->get(), kGuestDirectory, O_PATH | O_DIRECTORY);
    if (!directory || ::fstat(directory->get(), &theirs) != 0) return false;
    if (::stat((context.run_dir(name) + "/guest").c_str(), &ours) != 0) return false;
    return ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

Result<> switch_on(Context& context, const std::string& name) {
    LX_TRY(context.guest_sockets.open(name, context.run_dir(name)));
    auto attached = attach_directory(context, name);
    if (!attached) context.guest_sockets.close(name, context.run_dir(name));
    return attached;
}

Result<> switch_off(Context& context, const std::string& name) {
    // What makes it off is that nobody listens; the mount is tidiness, and the guest may have taken it away.
    context.guest_sockets.close(name, context.run_dir(name));
    return context.deps.runtime.detach(name, kGuestDirectory, false);
}

void publish(const Context& context, events::Kind kind, const std::string& name, const char* type,
             const nlohmann::json& metadata) {
    const nlohmann::json event{{"timestamp", to_rfc3339(now())}, {"type", type}, {"metadata", metadata}};
    auto text = event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    context.deps.events.publish({kind, name, std::make_shared<const std::string>(std::move(text))});
}

void tell_config(const Context& context, const std::string& name, const api::ConfigMap& before,
                 const api::ConfigMap& after) {
    std::set<std::string> keys;
    for (const auto* config : {&before, &after}) {
        for (const auto& [key, value] : *config) {
            if (is_guest_key(key)) keys.insert(key);
        }
    }
    for (const auto& key : keys) {
        const std::string old_value = api::value_of(before, key), value = api::value_of(after, key);
        if (old_value == value) continue;
        publish(context, events::Kind::guest_config, name, "config",
                {{"key", key}, {"old_value", old_value}, {"value", value}});
    }
}

void tell_devices(const Context& context, const std::string& name, const api::DeviceMap& before,
                  const api::DeviceMap& after) {
    const auto tell = [&](const std::string& device, const char* action, const api::ConfigMap& config) {
        publish(context, events::Kind::guest_device, name, "device",
                {{"name", device}, {"action", action}, {"config", config}});
    };
    for (const auto& [device, config] : before) {
        if (!after.contains(device)) tell(device, "removed", config);
    }
    for (const auto& [device, config] : after) {
        const auto old = before.find(device);
        if (old == before.end()) {
            tell(device, "added", config);
        } else if (old->second != config) {
            tell(device, "updated", config);
        }
    }
}

}  // namespace

bool has_guest_api(const api::ConfigMap& expanded) {
    return flag_of(expanded, "security.devlxd", true) && flag_of(expanded, "security.guestapi", true);
}

bool is_guest_key(const std::string& key) {
    if (key.starts_with("cloud-init.ssh-keys.")) return false;  // part of the data that cloud-init reads
    return key.starts_with("user.") || key.starts_with("cloud-init.");
}

Result<UniqueFd> begin_guest_api(Context& context, const std::string& name, const api::ConfigMap& expanded) {
    if (!has_guest_api(expanded)) return UniqueFd();
    LX_TRY(context.guest_sockets.open(name, context.run_dir(name)));
    return GuestSockets::mount(context.run_dir(name));
}

Result<> recover_guest_api(Context& context, const std::string& name, const api::ConfigMap& expanded) {
    if (!has_guest_api(expanded)) return {};
    LX_TRY(context.guest_sockets.open(name, context.run_dir(name)));
    // A daemon that was killed while it switched this on or off.
    return is_attached(context, name) ? Result<>{} : attach_directory(context, name);
}

void recover_guest_ready(Context& context, const database::InstanceRecord& record) {
    if (!flag_of(record.config, kReadyKey)) return;
    const auto at = parse_rfc3339(api::value_of(record.config, kReadyAtKey));
    context.live.set_guest_ready(record.name, true, at.value_or(record.last_used_at));
}

Result<> update_guest_api(Context& context, const std::string& name, const ExpandedInstance& before,
                          const ExpandedInstance& after, Revert& undo) {
    const bool had = has_guest_api(before.config);
    const bool has = has_guest_api(after.config);
    if (had == has) return {};
    LX_TRY(has ? switch_on(context, name) : switch_off(context, name));
    undo.add([&context, name, had] {
        if (auto undone = had ? switch_on(context, name) : switch_off(context, name); !undone)
            log::warn("guest API not restored", {{"instance", name}, {"error", undone.error().message}});
    });
    return {};
}

void tell_guest(const Context& context, const std::string& name, const ExpandedInstance& before,
                const ExpandedInstance& after) {
    if (!context.deps.events.idle(events::Kind::guest_config))
        tell_config(context, name, before.config, after.config);
    if (!context.deps.events.idle(events::Kind::guest_device))
        tell_devices(context, name, before.devices, after.devices);
}

void renew_cloud_init_id(const ExpandedInstance& before, const ExpandedInstance& after,
                         database::InstanceRecord& record) {
    bool changed = nic_names(before.devices) != nic_names(after.devices);
    for (const ExpandedInstance* one : {&before, &after}) {
        for (const auto& [key, value] : one->config)
            if (key.starts_with("cloud-init.ssh-keys."))
                changed = changed || api::value_of(before.config, key) != api::value_of(after.config, key);
    }
    for (const char* key : kCloudInitKeys) {
        changed = changed || api::value_of(before.config, key) != api::value_of(after.config, key);
    }
    if (changed) record.config["volatile.cloud-init.instance-id"] = random_uuid();
}

}  // namespace lxmgr::instances
