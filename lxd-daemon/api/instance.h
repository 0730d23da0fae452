#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "lxd-daemon/api/instance_requests.h"
#include "lxd-daemon/api/instance_state.h"
#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/clock.h"

namespace lxmgr::api {

/// An instance as GET /1.0/instances/NAME shows it (LXD 5.0.2's key set).
struct Instance {
    std::string name;
    std::string type = "container";
    std::string description;
    std::string architecture;
    StatusCode status = StatusCode::stopped;
    bool ephemeral = false;
    bool stateful = false;
    ConfigMap config;
    DeviceMap devices;
    ConfigMap expanded_config;
    DeviceMap expanded_devices;
    std::vector<std::string> profiles;
    Time created_at{};
    Time last_used_at{};
    std::string location = "none";
    std::string project = "default";
};

/// JSON text of the object, by hand-written appenders: lists of hundreds are rendered per request (or
/// cached).
std::string to_json_text(const Instance& instance);
/// The same with "backups", "state" and "snapshots": recursion=2 in lists, recursion=1 on one instance.
/// `snapshots` and `backups` are JSON text; null is none, as LXD shows it.
std::string to_full_json_text(const Instance& instance, const InstanceState& state,
                              const std::string& snapshots = "null", const std::string& backups = "null");
/// For filters; parses to_json_text(), so slower than it.
nlohmann::json to_json(const Instance& instance);
/// The writable fields: what the ETag covers.
nlohmann::json etag_fields(const Instance& instance);

}  // namespace lxmgr::api
