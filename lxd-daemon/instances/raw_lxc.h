#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/runtime/container.h"

namespace lxmgr::instances {

/// raw.lxc: the lines of lxc.container.conf(5) that mean something here, in the runtime's terms. The others
/// are errors, since nothing would come of them.
struct RawLxc {
    /// lxc.mount.entry
    struct Mount {
        std::string source;
        std::string target;  ///< beneath the instance's root
        bool bind = true;    ///< else a tmpfs
        bool recursive = false;
        bool optional = false;                                     ///< left out when there is no source
        std::uint64_t attributes = 0;                              ///< MOUNT_ATTR_*
        std::vector<std::pair<std::string, std::string>> options;  ///< of the tmpfs
    };
    std::vector<Mount> mounts;
    std::vector<std::string> environment;  ///< "K=V"
    std::vector<std::string> init;         ///< empty: the usual one
    std::vector<runtime::Sysctl> sysctls;
    runtime::Extras extras;
    bool unconfined = false;  ///< no AppArmor profile
};
/// Errors: `bad_request` "raw.lxc: line 3: ...".
Result<RawLxc> parse_raw_lxc(std::string_view text);

/// A mount of lxc.mount.entry, to be attached by the start.
struct RawMountTree {
    UniqueFd mount;
    std::string target;
    bool is_directory = true;
};
/// Sources are paths of the host, as its root sees them. Errors: `bad_request` naming the source.
Result<std::vector<RawMountTree>> make_raw_mounts(const RawLxc& raw);

}  // namespace lxmgr::instances
