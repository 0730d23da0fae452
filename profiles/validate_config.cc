#include <fmt/format.h>

#include "lxd-daemon/base/strings.h"
#include "profiles/check_key.h"
#include "profiles/checks.h"
#include "profiles/config_keys.h"
#include "profiles/key_tables.h"

namespace lxmgr::profiles {
namespace {

constexpr std::size_t kMaxKey = 255;
constexpr std::size_t kMaxValue = std::size_t{1} << 20;

// A value as an error shows it: short and printable.
std::string shown(std::string_view value) {
    std::string out(value.substr(0, 64));
    for (char& c : out) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    }
    return value.size() > 64 ? out + "..." : out;
}

/// What clients may give of volatile.*: a NIC's MAC address; empty: a new one.
Result<> check_kept_hwaddr(std::string_view key, std::string_view value) {
    if (!key.starts_with("volatile.") || !key.ends_with(".hwaddr") || value.empty()) return {};
    const auto checked = check::hwaddr(key, value);
    if (checked) return {};
    return fail(Status::bad_request,
                fmt::format("Invalid value '{}' of '{}': {}", shown(value), key, checked.error().message));
}

}  // namespace

Result<> check_key_text(std::string_view key) {
    if (!key.empty() && key.size() <= kMaxKey && !has_control_chars(key)) return {};
    return fail(Status::bad_request, fmt::format("Invalid configuration key '{}'", shown(key)));
}

Result<> check_value(const ConfigKey& row, std::string_view key, std::string_view value) {
    if (value.size() > kMaxValue)
        return fail(Status::bad_request, fmt::format("The value of '{}' is too long", key));
    Result<> checked;
    if (row.check != nullptr) checked = row.check(key, value);
    // Only free text may hold newlines and tabs; its own check says which.
    const bool free_text = row.check == check::text || row.check == check::raw_idmap;
    if (checked && !free_text && has_control_chars(value)) {
        checked = fail(Status::bad_request, "must not hold control characters");
    }
    if (checked) return {};
    return fail(Status::bad_request,
                fmt::format("Invalid value '{}' of '{}': {}", shown(value), key, checked.error().message));
}

Result<> validate_instance_config(const api::ConfigMap& config, bool allow_volatile) {
    for (const auto& [key, value] : config) {
        LX_TRY(check_key_text(key));
        if (key.starts_with("volatile.") && !allow_volatile) {
            return fail(Status::bad_request, fmt::format("Volatile key '{}' cannot be set here", key));
        }
        const ConfigKey* row = find_key(KeyScope::instance, key);
        if (row == nullptr) {
            if (!is_foreign_key(KeyScope::instance, key)) {
                return fail(Status::bad_request, fmt::format("Unknown configuration key: {}", key));
            }
            return fail(Status::bad_request, fmt::format("Instance option \"{}\" {}", key,
                                                         not_supported(KeyScope::instance, key)));
        }
        LX_TRY(check_value(*row, key, value));
        LX_TRY(check_kept_hwaddr(key, value));
    }
    return {};
}

Result<> validate_server_config(const api::ConfigMap& config) {
    for (const auto& [key, value] : config) {
        LX_TRY(check_key_text(key));
        const ConfigKey* row = find_key(KeyScope::server, key);
        if (row == nullptr) {
            if (!is_foreign_key(KeyScope::server, key)) {
                return fail(Status::bad_request, fmt::format("Unknown configuration key: {}", key));
            }
            return fail(Status::bad_request,
                        fmt::format("Server option \"{}\" is not supported by this server (yet)", key));
        }
        LX_TRY(check_value(*row, key, value));
    }
    return {};
}

Result<> validate_volume_config(const api::ConfigMap& config) {
    for (const auto& [key, value] : config) {
        LX_TRY(check_key_text(key));
        const ConfigKey* row = find_key(KeyScope::volume, key);
        if (row == nullptr && !is_foreign_key(KeyScope::volume, key))
            return fail(Status::bad_request, fmt::format("Invalid option for volume option \"{}\"", key));
        if (row == nullptr)
            return fail(Status::bad_request,
                        fmt::format("Volume option \"{}\" is not supported by the pool's driver", key));
        LX_TRY(check_value(*row, key, value));
    }
    const auto on = [&config](const char* key) {
        const auto found = config.find(key);
        return found != config.end() && parse_bool(found->second);
    };
    if (on("security.shifted") && on("security.unmapped"))
        return fail(Status::bad_request, "security.shifted and security.unmapped are mutually exclusive");
    return {};
}

}  // namespace lxmgr::profiles
