#pragma once
#include <sys/types.h>

#include <string>

#include "lxd-daemon/devices/device.h"

namespace lxmgr::devices {

/// A device node as an instance is to see it; ids are the instance's.
struct Node {
    mode_t type = 0;  ///< S_IFCHR or S_IFBLK
    dev_t device = 0;
    mode_t mode = 0660;
    std::uint32_t uid = 0, gid = 0;
};

/// The node alone, on a file system in memory that is the host's: an instance cannot mknod(2), and opens a
/// node only where the host's user namespace owns the file system.
Result<UniqueFd> make_node_mount(const Node& node, const sys::IdMap& idmap);

/// Keys mode, uid and gid of a device that is a node; checked by profiles/.
Node node_with_keys(const DeviceContext& context);

}  // namespace lxmgr::devices
