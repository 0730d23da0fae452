#include "lxd-daemon/instances/pool_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/pools.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

constexpr std::string_view kVolumeDefault = "volume.";
constexpr const char* kCopyRate = "rsync.bwlimit";
constexpr const char* kCompression = "rsync.compression";
/// Of all drivers, and those that can change at any time.
constexpr std::array<std::string_view, 3> kPoolKeys = {kCopyRate, kCompression, kRecoverKey};

/// Bytes a second; a number alone is of KiB, as rsync(1) has it.
Result<std::uint64_t> parse_copy_rate(const std::string& text) {
    if (text.empty()) return 0;
    if (const auto kibibytes = parse_uint(text); kibibytes && *kibibytes < (std::uint64_t{1} << 40U))
        return *kibibytes << 10U;
    return profiles::parse_size(text);
}

Result<> check_pool_value(const std::string& key, const std::string& value) {
    if (key == "size" || key == "lvm.thinpool_metadata_size") LX_TRY(profiles::parse_size(value));
    if (key == kCopyRate) LX_TRY(parse_copy_rate(value));
    const bool flag = key == kCompression || key == kRecoverKey;
    if (!flag || profiles::parse_bool(value)) return {};
    for (const char* no : {"", "false", "0", "no", "off"}) {
        if (value == no) return {};
    }
    return fail(Status::bad_request, fmt::format("Storage pool option '{}' must be true or false", key));
}

}  // namespace

bool is_foreign_volume_key(const std::string& key, const storage::DriverEntry& driver) {
    return (key.starts_with("block.") || key.starts_with("lvm.")) &&
           std::ranges::find(driver.volume_keys, key) == driver.volume_keys.end();
}

api::ConfigMap volume_defaults(const api::ConfigMap& pool_config) {
    api::ConfigMap out;
    for (const auto& [key, value] : pool_config) {
        if (key.starts_with(kVolumeDefault)) out[key.substr(kVolumeDefault.size())] = value;
    }
    return out;
}

storage::Stripes stripes_of(const api::ConfigMap& volume_config) {
    storage::Stripes out;
    out.count = static_cast<unsigned>(parse_uint(api::value_of(volume_config, "lvm.stripes")).value_or(0));
    const std::string bytes = api::value_of(volume_config, "lvm.stripes.size");
    if (!bytes.empty()) out.bytes = profiles::parse_size(bytes).value_or(0);
    return out;
}

Result<> check_driver_keys(const api::ConfigMap& volume_config, const storage::DriverEntry& driver) {
    for (const auto& [key, value] : volume_config) {
        if (!is_foreign_volume_key(key, driver)) continue;
        return fail(Status::bad_request,
                    fmt::format("Volume option \"{}\" is not supported by driver '{}'", key, driver.name));
    }
    return {};
}

Result<> validate_pool_config(const api::ConfigMap& config, const storage::DriverEntry& driver) {
    for (const auto& [key, value] : config) {
        if (has_control_chars(key) || has_control_chars(value)) {
            return fail(Status::bad_request,
                        fmt::format("Storage pool option '{}' holds control characters", key));
        }
        if (key.starts_with(kVolumeDefault)) continue;
        LX_TRY(check_pool_value(key, value));
        const bool known = key.starts_with("user.") || key.starts_with("volatile.") ||
                           std::ranges::find(kPoolKeys, key) != kPoolKeys.end() ||
                           std::ranges::find(driver.config_keys, key) != driver.config_keys.end();
        if (!known) {
            return fail(
                Status::bad_request,
                fmt::format("Storage pool option '{}' is not supported by driver '{}'", key, driver.name));
        }
    }
    LX_TRY(profiles::validate_volume_config(volume_defaults(config)));
    return check_driver_keys(volume_defaults(config), driver);
}

Result<> check_fixed_keys(const storage::DriverEntry& driver, const api::ConfigMap& before,
                          const api::ConfigMap& after) {
    for (const auto name : driver.config_keys) {
        if (std::ranges::find(driver.live_keys, name) != driver.live_keys.end()) continue;
        const std::string key(name);
        const auto old_value = before.find(key), new_value = after.find(key);
        const bool had = old_value != before.end(), has = new_value != after.end();
        if (had == has && (!had || old_value->second == new_value->second)) continue;
        return fail(Status::bad_request, fmt::format("Storage pool option '{}' cannot be changed", key));
    }
    return {};
}

std::uint64_t Pools::copy_rate(const std::vector<std::string>& pools) const {
    std::uint64_t least = 0;
    for (const auto& pool : pools) {
        const auto row = database_.pools().find(pool);
        const auto rate = row ? parse_copy_rate(api::value_of(row->config, kCopyRate)).value_or(0) : 0;
        if (rate > 0 && (least == 0 || rate < least)) least = rate;
    }
    return least;
}

bool Pools::compresses(const std::string& pool) const {
    const auto row = database_.pools().find(pool);
    return row && profiles::parse_bool(api::value_of(row->config, kCompression));
}

}  // namespace lxmgr::instances
