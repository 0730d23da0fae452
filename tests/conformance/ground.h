#pragma once
#include <array>
#include <string>
#include <string_view>

#include "lxd-daemon/base/result.h"

namespace lxmgr::conformance {

/// File systems that pools are tried on, each in an image of its own on a loop device: syncfs(2) then waits
/// for nobody else.
inline constexpr std::array<std::string_view, 3> kFileSystems = {"ext4", "xfs", "btrfs"};

/// The same with project quotas; this machine's kernel has none, that of tests/vm has.
inline constexpr std::array<std::string_view, 2> kWithQuotas = {"ext4_prjquota", "xfs_prjquota"};

/// Moves the process into a mount namespace of its own whose / is shared, as on systemd hosts
/// (docs/explanation/kernel-facts.md).
Result<> enter_mount_namespace();

/// Directory on a file system of that kind, made and mounted when it is first asked for; gone with the
/// process. Errors: `not_found` names the program that is missing, or what the kernel lacks.
Result<std::string> ground(std::string_view file_system);

/// Unmounts and removes what ground() made.
void remove_grounds();

}  // namespace lxmgr::conformance
