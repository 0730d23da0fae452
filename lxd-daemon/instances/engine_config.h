#pragma once
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/sys/idmap.h"

namespace lxmgr::instances {

/// Tells podman and its kin inside an instance with `security.nesting` what the host cannot give: where pids
/// is a controller of cgroup v1, no guest can have it, and podman's default limit of processes would fail
/// every `podman run`. Writes /etc/containers/containers.conf.d/00-lxmgr.conf (containers.conf(5)) without
/// that limit; on hosts that give the controller, an earlier file of ours is removed. A user's own files
/// there are read after it, and win.
/// @param root_fd mount of the root, ids shifted by `idmap`
Result<> write_engine_config(int root_fd, const sys::IdMap& idmap, bool has_pids_controller);

}  // namespace lxmgr::instances
