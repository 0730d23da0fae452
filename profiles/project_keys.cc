#include <fmt/format.h>
#include <fmt/ranges.h>

#include <initializer_list>
#include <limits>

#include "lxd-daemon/base/strings.h"
#include "profiles/check_key.h"
#include "profiles/checks.h"
#include "profiles/key_tables.h"

namespace lxmgr::profiles {
namespace {

constexpr auto J = KeyScope::project;

Result<> one_of(std::string_view value, std::initializer_list<std::string_view> allowed) {
    for (const auto word : allowed) {
        if (value == word) return {};
    }
    return fail(Status::bad_request, fmt::format("must be one of {}", fmt::join(allowed, ", ")));
}

Result<> block_allow(std::string_view, std::string_view value) { return one_of(value, {"block", "allow"}); }
Result<> block_allow_full(std::string_view, std::string_view value) {
    return one_of(value, {"block", "allow", "full"});
}
Result<> block_allow_managed(std::string_view, std::string_view value) {
    return one_of(value, {"block", "allow", "managed"});
}
Result<> privilege(std::string_view, std::string_view value) {
    return one_of(value, {"allow", "isolated", "unprivileged"});
}

Result<> total_size(std::string_view, std::string_view value) {
    if (!value.ends_with('%') && parse_size(value)) return {};
    return fail(Status::bad_request, "must be a size, such as 10GiB");
}

/// "1000-1999,5000"
Result<> id_ranges(std::string_view, std::string_view value) {
    for (const auto& range : split(value, ',')) {
        const auto dash = range.find('-');
        const auto from = parse_uint(trim(range.substr(0, dash)));
        const auto to = dash == std::string::npos ? from : parse_uint(trim(range.substr(dash + 1)));
        if (!from || !to || *from > *to || *to > std::numeric_limits<std::uint32_t>::max())
            return fail(Status::bad_request, "must be ids or ranges of ids, such as 1000-1999,5000");
    }
    return {};
}

/// "uplink0:192.0.2.0/24,uplink0:2001:db8::/64"
Result<> uplink_subnets(std::string_view key, std::string_view value) {
    for (const auto& part : split(value, ',')) {
        const auto entry = trim(part);
        const auto colon = entry.find(':');
        const auto net = entry.substr(colon + 1);
        const bool good = check::ipv4_net_list(key, net) || check::ipv6_net_list(key, net);
        if (colon == 0 || colon == std::string_view::npos || !good)
            return fail(Status::bad_request,
                        "must be UPLINK:SUBNET, such as uplink0:192.0.2.0/24, with commas between");
    }
    return {};
}

Result<> path_list(std::string_view key, std::string_view value) {
    for (const auto& path : split(value, ',')) LX_TRY(check::absolute_path(key, trim(path)));
    return {};
}

constexpr ConfigKey kProjectKeys[] = {
    {J, "backups.compression_algorithm", "string", "", Live::yes, check::backup_compression,
     "As the server's key, for backups in the project."},
    {J, "features.images", "bool", "true", Live::yes, check::boolean,
     "Whether the project has images and aliases of its own, or uses those of the project default."},
    {J, "features.networks", "bool", "false", Live::yes, check::boolean,
     "Always false but in the project default: networks are shared by all projects."},
    {J, "features.profiles", "bool", "true", Live::yes, check::boolean,
     "Whether the project has profiles of its own, or uses those of the project default."},
    {J, "features.storage.volumes", "bool", "true", Live::yes, check::boolean,
     "Whether the project has custom volumes of its own, or uses those of the project default."},
    {J, "images.compression_algorithm", "string", "", Live::yes, check::image_compression,
     "As the server's key, for images made in the project."},
    {J, "limits.containers", "integer", "", Live::yes, check::natural, "How many containers there may be."},
    {J, "limits.cpu", "integer", "", Live::yes, check::natural,
     "What limits.cpu of all instances may add up to; each must have one, and none may pin CPUs."},
    {J, "limits.disk", "size", "", Live::yes, total_size,
     "What the sizes of all root disks and custom volumes may add up to; each must have one."},
    {J, "limits.disk.pool.*", "size", "", Live::yes, total_size,
     "The same for one storage pool, which must exist; 0: the project is not shown the pool either."},
    {J, "limits.instances", "integer", "", Live::yes, check::natural, "How many instances there may be."},
    {J, "limits.memory", "size", "", Live::yes, total_size,
     "What limits.memory of all instances may add up to; each must have one that is no percentage."},
    {J, "limits.networks", "integer", "", Live::yes, check::natural,
     "How many networks there may be: of use in the project default, which has them all."},
    {J, "limits.processes", "integer", "", Live::yes, check::natural,
     "What limits.processes of all instances may add up to; each must have one."},
    {J, "limits.virtual-machines", "integer", "", Live::yes, check::natural,
     "How many virtual machines there may be; this server has none."},
    {J, "restricted", "bool", "false", Live::yes, check::boolean,
     "Whether the restricted.* keys, set or not, are in force."},
    {J, "restricted.backups", "string", "block", Live::yes, block_allow,
     "Whether backups of instances and custom volumes may be made: block or allow."},
    {J, "restricted.containers.interception", "string", "block", Live::yes, block_allow_full,
     "Whether security.syscalls.intercept.* may be set: block, allow (but for mounts) or full."},
    {J, "restricted.containers.lowlevel", "string", "block", Live::yes, block_allow,
     "Whether low-level options such as raw.* and linux.kernel_modules may be set: block or allow."},
    {J, "restricted.containers.nesting", "string", "block", Live::yes, block_allow,
     "Whether security.nesting may be set: block or allow."},
    {J, "restricted.containers.privilege", "string", "unprivileged", Live::yes, privilege,
     "unprivileged: no security.privileged; isolated: also security.idmap.isolated on each; allow: any."},
    {J, "restricted.devices.disk", "string", "managed", Live::yes, block_allow_managed,
     "Which disks there may be beside the root: none (block), of pools (managed), any (allow)."},
    {J, "restricted.devices.disk.paths", "string", "", Live::yes, path_list,
     "With restricted.devices.disk=allow: directories of the host beneath which sources must be, with commas "
     "between; none: any."},
    {J, "restricted.devices.gpu", "string", "block", Live::yes, block_allow,
     "Whether there may be gpu devices: block or allow."},
    {J, "restricted.devices.infiniband", "string", "block", Live::yes, block_allow,
     "Whether there may be infiniband devices: block or allow; this server has none."},
    {J, "restricted.devices.nic", "string", "managed", Live::yes, block_allow_managed,
     "Which NICs there may be: none (block), of managed networks, without routes, VLANs and host_name "
     "(managed), "
     "any (allow)."},
    {J, "restricted.devices.pci", "string", "block", Live::yes, block_allow,
     "Whether there may be pci devices: block or allow; this server has none."},
    {J, "restricted.devices.proxy", "string", "block", Live::yes, block_allow,
     "Whether there may be proxy devices: block or allow."},
    {J, "restricted.devices.unix-block", "string", "block", Live::yes, block_allow,
     "Whether there may be unix-block devices: block or allow."},
    {J, "restricted.devices.unix-char", "string", "block", Live::yes, block_allow,
     "Whether there may be unix-char devices: block or allow."},
    {J, "restricted.devices.unix-hotplug", "string", "block", Live::yes, block_allow,
     "Whether there may be unix-hotplug devices: block or allow."},
    {J, "restricted.devices.usb", "string", "block", Live::yes, block_allow,
     "Whether there may be usb devices: block or allow."},
    {J, "restricted.idmap.gid", "string", "", Live::yes, id_ranges,
     "Groups of the host that raw.idmap may name, such as 1000-1999,5000."},
    {J, "restricted.idmap.uid", "string", "", Live::yes, id_ranges,
     "Users of the host that raw.idmap may name, such as 1000-1999,5000."},
    {J, "restricted.images.servers", "string", "", Live::yes, nullptr,
     "Names of image servers that may be fetched from, with commas between; unset: any."},
    {J, "restricted.networks.access", "string", "", Live::yes, nullptr,
     "Networks that may be seen and used, with commas between; unset: all."},
    {J, "restricted.networks.subnets", "string", "", Live::yes, uplink_subnets,
     "Subnets of uplink networks that may be used, such as UPLINK:192.0.2.0/24, with commas between; this "
     "server has no networks with uplinks."},
    {J, "restricted.networks.uplinks", "string", "", Live::yes, nullptr,
     "Uplink networks that may be used, with commas between; this server has no networks with uplinks."},
    {J, "restricted.snapshots", "string", "block", Live::yes, block_allow,
     "Whether snapshots of instances and custom volumes may be made: block or allow."},
    {J, "restricted.storage-pools.access", "string", "", Live::yes, nullptr,
     "Storage pools that may be used, with commas between; unset: all."},
    {J, "user.*", "string", "", Live::yes, check::text, "Free-form data of the user."},
};

}  // namespace

std::span<const ConfigKey> project_keys() { return kProjectKeys; }

Result<> validate_project_config(const api::ConfigMap& config) {
    for (const auto& [key, value] : config) {
        LX_TRY(check_key_text(key));
        const ConfigKey* row = find_key(J, key);
        if (row == nullptr && !is_foreign_key(J, key))
            return fail(Status::bad_request, fmt::format("Invalid project configuration key \"{}\"", key));
        if (row == nullptr)
            return fail(Status::bad_request,
                        fmt::format("Project option \"{}\" is not supported by this server (yet)", key));
        LX_TRY(check_value(*row, key, value));
    }
    return {};
}

}  // namespace lxmgr::profiles
