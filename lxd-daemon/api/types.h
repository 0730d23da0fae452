#pragma once
#include <map>
#include <string>
#include <utility>

namespace lxmgr::api {

/// Configuration keys and their values, always strings on the wire too (client-wire-notes, section 6).
using ConfigMap = std::map<std::string, std::string>;
/// Device name -> its keys; "type" is one of them.
using DeviceMap = std::map<std::string, ConfigMap>;

/// The value of a key, or null when it is not set.
inline const std::string* find_value(const ConfigMap& config, const std::string& key) {
    const auto found = config.find(key);
    return found == config.end() ? nullptr : &found->second;
}
/// The value of a key, or `otherwise` when it is not set.
inline std::string value_of(const ConfigMap& config, const std::string& key, std::string otherwise = {}) {
    const auto* found = find_value(config, key);
    return found == nullptr ? std::move(otherwise) : *found;
}

/// LXD's status codes as they appear in operations and instance states.
enum class StatusCode {
    operation_created = 100,
    started = 101,
    stopped = 102,
    running = 103,
    cancelling = 104,
    pending = 105,
    starting = 106,
    stopping = 107,
    aborting = 108,
    freezing = 109,
    frozen = 110,
    thawed = 111,
    error = 112,
    ready = 113,
    success = 200,
    failure = 400,
    cancelled = 401,
};
/// "Running" for running, and so on; "Operation created" for 100.
const char* status_text(StatusCode code);

}  // namespace lxmgr::api
