#pragma once
#include <string>

#include "lxd-daemon/base/result.h"

namespace lxmgr::network {

/// What the rules of an ACL with the state "logged" wrote: the lines that the kernel's log still has, oldest
/// first, each with its time. At most 1 MiB of the newest.
Result<std::string> read_acl_log(const std::string& acl);

}  // namespace lxmgr::network
