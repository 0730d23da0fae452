#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "lxd-daemon/devices/device.h"
#include "lxd-daemon/devices/disk.h"
#include "lxd-daemon/devices/host_nodes.h"
#include "lxd-daemon/devices/nic.h"
#include "lxd-daemon/devices/nic_ipvlan.h"
#include "lxd-daemon/devices/nic_macvlan.h"
#include "lxd-daemon/devices/nic_managed.h"
#include "lxd-daemon/devices/nic_physical.h"
#include "lxd-daemon/devices/nic_routed.h"
#include "lxd-daemon/devices/none.h"
#include "lxd-daemon/devices/proxy.h"
#include "lxd-daemon/devices/unix_device.h"
#include "lxd-daemon/devices/unplugged.h"

namespace lxmgr::devices {
std::string DeviceContext::key(std::string_view name) const {
    return api::value_of(config, std::string(name));
}
std::string DeviceContext::volatile_key(std::string_view name) const {
    return fmt::format("volatile.{}.{}", device, name);
}
std::string DeviceContext::volatile_value(std::string_view name) const {
    return api::value_of(instance_config, volatile_key(name));
}

std::span<const DeviceEntry> device_types() {
    static const DeviceEntry types[] = {
        {"disk", disk()},
        {"gpu", gpu()},
        {"nic", nic()},
        {"none", none()},
        {"proxy", proxy()},
        {"unix-block", unix_block()},
        {"unix-char", unix_char()},
        {"unix-hotplug", unix_hotplug()},
        {"usb", usb()},
    };
    return types;
}

namespace {

/// NICs that are of another class than "nic", by nictype.
std::span<const DeviceEntry> nic_types() {
    static const DeviceEntry types[] = {
        {"ipvlan", nic_ipvlan()},
        {"macvlan", nic_macvlan()},
        {"physical", nic_physical()},
        {"routed", nic_routed()},
    };
    return types;
}

Result<const DeviceType*> find_plugged_type(const std::string& device, const api::ConfigMap& config) {
    const std::string type = api::value_of(config, "type");
    if (type == "nic") {
        if (!api::value_of(config, "network").empty()) return &nic_managed();
        const std::string nictype = api::value_of(config, "nictype");
        for (const DeviceEntry& entry : nic_types())
            if (entry.type == nictype) return &entry.device;
    }
    const auto found = std::ranges::find(device_types(), type, &DeviceEntry::type);
    if (found != device_types().end()) return &found->device;
    std::vector<std::string_view> known;
    for (const auto& entry : device_types()) known.push_back(entry.type);
    return fail(Status::bad_request, fmt::format("Device '{}': unknown type '{}'; allowed are {}", device,
                                                 type, fmt::join(known, ", ")));
}

/// Each type's counterpart for devices that are not plugged in.
const DeviceType& unplugged(const DeviceType& type) {
    static const auto kAll = [] {
        std::map<const DeviceType*, Unplugged> all;
        for (const auto types : {device_types(), nic_types()}) {
            for (const DeviceEntry& entry : types) all.emplace(&entry.device, entry.device);
        }
        all.emplace(&nic_managed(), nic_managed());
        return all;
    }();
    return kAll.at(&type);
}

}  // namespace

Result<const DeviceType*> find_type(const std::string& device, const api::ConfigMap& config) {
    LX_TRY_AS(const DeviceType* type, find_plugged_type(device, config));
    return is_unplugged(config) ? &unplugged(*type) : type;
}

}  // namespace lxmgr::devices
