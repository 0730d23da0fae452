#pragma once
#include <string>
#include <string_view>

#include "lxd-daemon/base/result.h"

namespace lxmgr::profiles {

/// cloud-init.ssh-keys.NAME: "USER:KEY".
struct SshKey {
    std::string user;
    std::string key;        ///< a public key, or "gh:NAME", "lp:NAME", "gl:NAME"
    bool imported = false;  ///< the latter: the instance fetches it
};
/// Errors: `bad_request` saying what is allowed.
Result<SshKey> parse_ssh_key(std::string_view value);

}  // namespace lxmgr::profiles
