#pragma once
#include <string>

#include "lxd-daemon/base/result.h"

namespace lxmgr::auth {

/// scrypt (N=16384, r=8, p=1) with a salt of its own, as hex text. Takes some 50 ms and 16 MiB.
Result<std::string> hash_password(const std::string& password);
/// In constant time for hashes of hash_password().
bool is_password(const std::string& password, const std::string& hash);
/// In constant time for texts of one length.
bool is_same_secret(const std::string& one, const std::string& other);

}  // namespace lxmgr::auth
