#pragma once
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"

/// Bodies of requests on instances. Every parse_* takes the parsed JSON body; errors: `bad_request` naming
/// the key that has the wrong type. Unknown keys are tolerated, null is as good as absent. Nothing here
/// checks meaning.
namespace lxmgr::api {

/// Where a new instance comes from.
struct InstanceSource {
    std::string type;  ///< "image", "none", "copy", "migration"
    std::string alias, fingerprint;
    ConfigMap properties;
    std::string mode;  ///< "pull", "push", "relay", "local"
    std::string server, protocol, certificate, secret;
    std::string operation;  ///< URL of the source's operation (migration)
    std::map<std::string, std::string> secrets;
    std::string source;  ///< instance to copy, "X" or "X/S"
    std::string base_image;
    std::string project;
    bool live = false, instance_only = false, refresh = false, allow_inconsistent = false;
    bool by_admin = false;  ///< who asks may do all; not of the body
};

/// POST /1.0/instances
struct InstancesPost {
    std::string name;  ///< empty: the server chooses
    std::string architecture, description;
    std::string type;  ///< empty: container
    std::string instance_type;
    ConfigMap config;
    DeviceMap devices;
    bool ephemeral = false;
    bool stateful = false;
    bool start = false;                                ///< of newer clients (instance_create_start)
    std::optional<std::vector<std::string>> profiles;  ///< nullopt: the profile "default"
    InstanceSource source;
    std::string in_project = "default";  ///< that the request is for; not of the body
};
Result<InstancesPost> parse_instances_post(const nlohmann::json& body);

/// PUT /1.0/instances/NAME
struct InstancePut {
    std::string architecture, description;
    ConfigMap config;
    DeviceMap devices;
    bool ephemeral = false;
    bool stateful = false;
    std::vector<std::string> profiles;
    std::string restore;  ///< snapshot to restore: "S" or "X/S"
};
Result<InstancePut> parse_instance_put(const nlohmann::json& body);

/// PATCH /1.0/instances/NAME: what is absent stays; config keys and devices merge into the present ones.
struct InstancePatch {
    std::optional<std::string> architecture, description;
    std::optional<bool> ephemeral;
    std::optional<std::vector<std::string>> profiles;
    ConfigMap config;
    DeviceMap devices;
};
Result<InstancePatch> parse_instance_patch(const nlohmann::json& body);
/// The whole instance as the patch wants it. An empty config value removes its key, as LXD does.
InstancePut apply_patch(const InstancePatch& patch, InstancePut current);

/// POST /1.0/instances/NAME: rename, move or migrate.
struct InstancePost {
    std::string name;
    bool migration = false, live = false, instance_only = false;
    bool has_target = false;  ///< "target" is an object: push migration
    std::string pool, project;
};
Result<InstancePost> parse_instance_post(const nlohmann::json& body);

/// PUT /1.0/instances/NAME/state
struct InstanceStatePut {
    std::string action;  ///< "start", "stop", "restart", "freeze", "unfreeze"
    int timeout = -1;    ///< seconds; -1: no limit given
    bool force = false, stateful = false;
};
Result<InstanceStatePut> parse_instance_state_put(const nlohmann::json& body);

/// PUT /1.0/instances: {"state": {...}} for all instances.
Result<InstanceStatePut> parse_instances_put(const nlohmann::json& body);

/// POST /1.0/instances/NAME/exec
struct InstanceExecPost {
    std::vector<std::string> command;
    std::map<std::string, std::string> environment;
    bool wait_for_websocket = false, interactive = false, record_output = false;
    unsigned width = 0, height = 0;  ///< 0: not given
    std::uint32_t user = 0, group = 0;
    std::string cwd;
};
Result<InstanceExecPost> parse_instance_exec_post(const nlohmann::json& body);

/// POST /1.0/instances/NAME/console
struct InstanceConsolePost {
    unsigned width = 0, height = 0;
    std::string type;  ///< empty: "console"
    bool force = false;
};
Result<InstanceConsolePost> parse_instance_console_post(const nlohmann::json& body);

}  // namespace lxmgr::api
