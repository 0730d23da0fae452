#pragma once
#include <sys/stat.h>

#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/sys/device_filter.h"
#include "lxd-daemon/sys/idmap.h"

namespace lxmgr::runtime {

/// What every container may open: the nodes of make_dev() and ptys.
std::vector<sys::DeviceNumber> standard_devices();

/// What a node of these properties is for; nullopt: it is none of a device.
std::optional<sys::DeviceNumber> device_number(const struct stat& node);

/// The /dev of a container, as a detached tmpfs with real device nodes that its root owns: a user namespace
/// cannot make nodes, and bind mounts of the host's would cost more and fill its mount table.
/// @param extra_nodes  host device paths ("/dev/kvm") to offer beside the standard ones, each under the same
/// path
Result<UniqueFd> make_dev(const sys::IdMap& idmap, const std::vector<std::string>& extra_nodes);

}  // namespace lxmgr::runtime
