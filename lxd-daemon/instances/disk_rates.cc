#include "lxd-daemon/instances/disk_rates.h"

#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/devices/unplugged.h"
#include "lxd-daemon/sys/block_device.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

/// Takes the lower one of what is there and what a key says, if it says something.
void lower(std::optional<std::uint64_t>& rate, std::uint64_t to) { rate = std::min(rate.value_or(to), to); }

Result<> add_rate(const api::ConfigMap& keys, const char* key, std::optional<std::uint64_t>& bytes,
                  std::optional<std::uint64_t>& operations) {
    const std::string text = api::value_of(keys, key);
    if (text.empty()) return {};
    LX_TRY_AS(const profiles::DiskRate rate, profiles::parse_disk_rate(text));
    lower(rate.is_operations ? operations : bytes, rate.per_second);
    return {};
}

/// Of a device of type unix-block.
Result<std::string> disk_of_block(const api::ConfigMap& keys) {
    const auto major = parse_uint(api::value_of(keys, "major"));
    const auto minor = parse_uint(api::value_of(keys, "minor"));
    if (major && minor)
        return sys::disk_of_number(static_cast<unsigned>(*major), static_cast<unsigned>(*minor));
    const std::string source = api::value_of(keys, "source");
    return sys::disk_of_node(source.empty() ? api::value_of(keys, "path") : source);
}

/// Where the files of a disk device are on the host; empty: in memory.
std::string host_path(const Context& context, const api::ConfigMap& keys) {
    const std::string pool = api::value_of(keys, "pool");
    if (!pool.empty()) return fmt::format("{}/storage-pools/{}", context.deps.state_dir, pool);
    const std::string source = api::value_of(keys, "source");
    return source == "tmpfs:" ? std::string() : source;
}

Result<> add_device(const Context& context, const std::string& name, const api::ConfigMap& keys,
                    runtime::Limits& limits) {
    runtime::DiskRates wanted;
    for (const char* key : {"limits.read", "limits.max"})
        LX_TRY(add_rate(keys, key, wanted.read_bytes, wanted.read_operations));
    for (const char* key : {"limits.write", "limits.max"})
        LX_TRY(add_rate(keys, key, wanted.write_bytes, wanted.write_operations));
    if (wanted == runtime::DiskRates{}) return {};
    const bool is_node = api::value_of(keys, "type") == "unix-block";
    const std::string path = host_path(context, keys);
    if (!is_node && path.empty())
        return fail(Status::bad_request,
                    fmt::format("Device '{}': a file system in memory has no rates", name));
    const auto disk = is_node ? disk_of_block(keys) : sys::disk_of(path);
    const bool may_be_absent = api::value_of(keys, "required") == "false";
    if (!disk && disk.error().status == Status::not_found && may_be_absent) return {};
    if (!disk)
        return fail(disk.error().status,
                    fmt::format("Device '{}': limits.read, limits.write and limits.max: {}", name,
                                disk.error().message));
    auto& rates = limits.disk_rates[*disk];
    const auto join = [&](auto member) {
        if (wanted.*member) lower(rates.*member, *(wanted.*member));
    };
    join(&runtime::DiskRates::read_bytes);
    join(&runtime::DiskRates::read_operations);
    join(&runtime::DiskRates::write_bytes);
    join(&runtime::DiskRates::write_operations);
    return {};
}

}  // namespace

Result<runtime::Limits> all_limits(const Context& context, const database::InstanceRecord& record,
                                   const ExpandedInstance& expanded, CpuPlacement& placement) {
    LX_TRY_AS(auto limits, limits_of(record.name, expanded.config, placement));
    for (const auto& [name, keys] : expanded.devices) {
        const std::string type = api::value_of(keys, "type");
        const bool counts = (type == "disk" || type == "unix-block") && !devices::is_unplugged(keys);
        if (counts) LX_TRY(add_device(context, name, keys, limits));
    }
    return limits;
}

}  // namespace lxmgr::instances
