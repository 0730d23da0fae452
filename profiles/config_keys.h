#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::profiles {

enum class KeyScope {
    instance,
    server,
    disk,
    nic_bridged,
    nic_p2p,
    nic_ipvlan,
    nic_macvlan,
    nic_physical,
    nic_routed,
    none_device,
    gpu,
    proxy,
    unix_block,
    unix_char,
    unix_hotplug,
    usb,
    volume,
    project
};
enum class Live { no, yes };

/// One configuration key. Adding a key is one row in config_keys.cc: validation, live update marks,
/// GET /1.0/metadata/configuration and docs/reference all read the table.
struct ConfigKey {
    KeyScope scope;
    std::string_view name;           ///< exact, or ending in ".*" for a family
    std::string_view type;           ///< "string", "bool", "integer", "size", ...
    std::string_view default_value;  ///< as LXD documents it; empty: none
    Live live;
    Result<> (*check)(std::string_view key,
                      std::string_view value);  ///< null: any string without control characters
    std::string_view doc;                       ///< one sentence
};
std::span<const ConfigKey> config_keys();
const ConfigKey* find_key(KeyScope scope, std::string_view name);

/// A whole instance (or profile) config. `bad_request` naming key, value and what is allowed. Unknown keys,
/// control characters, unsupported keys are errors. volatile.* and user.* pass (volatile only where
/// `allow_volatile`).
Result<> validate_instance_config(const api::ConfigMap& config, bool allow_volatile);
/// Devices of an instance or profile: known types, known keys, required keys, path and name rules; with
/// `expanded` also what only the merged set can tell (exactly one root disk, no two NICs of one name).
Result<> validate_devices(const api::DeviceMap& devices, bool expanded);
/// Server config. `bad_request` for what is unknown, unsupported or has a bad value.
Result<> validate_server_config(const api::ConfigMap& config);
/// Config of a custom volume. The same errors.
Result<> validate_volume_config(const api::ConfigMap& config);
/// Config of a project. The same errors; what is only possible of "default" counts as possible.
Result<> validate_project_config(const api::ConfigMap& config);
/// LXD's rule: a DNS label. `bad_request` with LXD's wording otherwise.
Result<> validate_instance_name(std::string_view name);
/// Names of other stored objects; they are parts of URLs. `bad_request` saying why
/// not.
Result<> validate_profile_name(std::string_view name);
Result<> validate_alias_name(std::string_view name);
Result<> validate_volume_name(std::string_view name);
/// Letters, digits and '-': it is part of paths, host names and keys (api/project_keys.h).
Result<> validate_project_name(std::string_view name);

/// "512MiB", "1GB", "50%" (of `total_bytes`, where given), "1073741824". Errors: `bad_request`.
Result<std::uint64_t> parse_size(std::string_view text, std::uint64_t total_bytes = 0);
/// Of a disk, each second: "10MiB" or "500iops". Errors: `bad_request`; 0 is one.
struct DiskRate {
    std::uint64_t per_second = 0;
    bool is_operations = false;
};
Result<DiskRate> parse_disk_rate(std::string_view text);
/// Bits a second: "10Mbit", "1Gibit", "1000000". Errors: `bad_request`.
Result<std::uint64_t> parse_bit_rate(std::string_view text);
bool parse_bool(std::string_view text);  ///< LXD's true words: "true", "1", "yes", "on"; false for all else

/// limits.cpu: "2" (count) or "0-3,7" (set). Bounded: a range beyond 8192 CPUs is `bad_request`, at no cost.
struct CpuLimit {
    int count = 0;  ///< 0 when it is a set
    std::vector<int> pinned;
};
Result<CpuLimit> parse_cpu_limit(std::string_view text);
/// "0-3,7" or "2", which is a set of one here.
Result<std::vector<int>> parse_cpu_set(std::string_view text);
/// One side of a proxy device: "tcp:10.0.0.1:80,90-95", "udp:[::]:53", "unix:/run/x.sock", "unix:@name".
struct ProxyAddress {
    enum class Kind { tcp, udp, unix_path, unix_abstract } kind = Kind::tcp;
    std::string address;     ///< IP without brackets, path, or name without its "@"
    std::vector<int> ports;  ///< each once, as they were given; none of unix kinds
};
/// Errors: `bad_request`. At most 512 ports.
Result<ProxyAddress> parse_proxy_address(std::string_view text);
/// limits.cpu.allowance: "50%" (shares when contended) or "25ms/100ms" (hard).
struct CpuAllowance {
    int percent = 0;  ///< 0 when it is a time quota
    long quota_us = 0, period_us = 0;
};
Result<CpuAllowance> parse_cpu_allowance(std::string_view text);

/// limits.kernel.*: "N", "unlimited" or "SOFT:HARD"; UINT64_MAX is unlimited.
struct KernelLimitPair {
    std::uint64_t soft = 0, hard = 0;
};
Result<KernelLimitPair> parse_kernel_limit(std::string_view text);
/// raw.idmap: lines "uid|gid|both HOST INSTANCE" of ids or ranges of equal length.
struct RawIdmapEntry {
    bool uids = false, gids = false;
    std::uint32_t host_first = 0, container_first = 0, count = 0;
};
Result<std::vector<RawIdmapEntry>> parse_raw_idmap(std::string_view text);
/// linux.sysctl.NAME: where NAME is beneath /proc/sys. Errors: `bad_request` for what no namespace has for
/// itself.
Result<std::string> sysctl_path(std::string_view name);

}  // namespace lxmgr::profiles
