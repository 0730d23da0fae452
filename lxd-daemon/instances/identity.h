#pragma once
#include <string>

#include "lxd-daemon/base/result.h"
#include "lxd-daemon/sys/idmap.h"

namespace lxmgr::instances {

/// Writes the instance's name into the root file system, since /etc/hostname wins over sethostname(2) when
/// its systemd starts: /etc/hostname, and the 127.0.1.1 line of /etc/hosts, by which programs inside resolve
/// their own name. A root without /etc is left alone.
/// @param root_fd mount of the root, ids shifted by `idmap`
Result<> write_identity(int root_fd, const sys::IdMap& idmap, const std::string& name);

/// Empties /etc/machine-id, by which systemd gives a copy its own at its first boot (machine-id(5)), and
/// removes D-Bus's copy of it. Absent files stay absent.
Result<> clear_machine_id(int root_fd, const sys::IdMap& idmap);

/// The text of /etc/hosts with 127.0.1.1 standing for `name`; all other lines are kept.
std::string hosts_with_name(const std::string& hosts, const std::string& name);

}  // namespace lxmgr::instances
