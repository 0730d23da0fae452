#include "lxd-daemon/devices/node.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/sys/lock_mount.h"
#include "lxd-daemon/sys/mount.h"

namespace lxmgr::devices {
namespace {

constexpr const char* kName = "n";

std::uint32_t node_number(const DeviceContext& context, const char* key) {
    return static_cast<std::uint32_t>(parse_uint(context.key(key)).value_or(0));
}

}  // namespace

Result<UniqueFd> make_node_mount(const Node& node, const sys::IdMap& idmap) {
    LX_TRY_AS(auto tmpfs, sys::FsContext::open("tmpfs"));
    LX_TRY(tmpfs.set("source", "none"));
    LX_TRY(tmpfs.set("mode", "0755"));
    LX_TRY(tmpfs.set("size", "64k"));
    LX_TRY(tmpfs.create());
    LX_TRY_AS(const UniqueFd root, tmpfs.mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
    if (::mknodat(root.get(), kName, node.type | 0600, node.device) != 0) return fail_errno("mknod", "");
    if (::fchownat(root.get(), kName, idmap.host_uid(node.uid), idmap.host_gid(node.gid),
                   AT_SYMLINK_NOFOLLOW) != 0)
        return fail_errno("chown", "of a device node");
    if (::fchmodat(root.get(), kName, node.mode, 0) != 0) return fail_errno("chmod", "of a device node");
    return sys::lock_mount(root.get(), {true, kName});
}

Node node_with_keys(const DeviceContext& context) {
    Node node;
    if (const std::string mode = context.key("mode"); !mode.empty())
        node.mode = static_cast<mode_t>(std::strtoul(mode.c_str(), nullptr, 8)) & 0777;
    node.uid = node_number(context, "uid");
    node.gid = node_number(context, "gid");
    return node;
}

}  // namespace lxmgr::devices
