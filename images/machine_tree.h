#pragma once
#include "images/machine_init.h"
#include "images/root_tree.h"

namespace lxmgr::images {

/// Makes an installed tree a machine image: what its init and its network stack need, hosts file; then
/// takes out what must differ between machines (machine-id, ssh host keys) and what changes from build to
/// build (logs, caches, package lists, the build's own apt configuration).
/// @param locale_path  where this family says what language it speaks
Result<> finish_machine_tree(const RootTree& tree, const MachineInit& init,
                             const char* locale_path = "/etc/default/locale");

}  // namespace lxmgr::images
