#pragma once
#include "images/root_tree.h"

namespace lxmgr::images {

/// Makes an installed Debian tree a machine image: network by DHCP on eth0, resolver, the services for it,
/// hosts file; then takes out what must differ between machines (machine-id, ssh host keys) and what changes
/// from build to build (logs, caches, package lists, the build's own apt configuration).
Result<> finish_machine_tree(const RootTree& tree);

}  // namespace lxmgr::images
