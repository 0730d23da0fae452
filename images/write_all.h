#pragma once
#include <string>
#include <string_view>

#include "lxd-daemon/base/result.h"

namespace lxmgr::images {

/// All of it, or an error with errno that names `what`.
Result<> write_all(int fd, std::string_view bytes, const std::string& what);

}  // namespace lxmgr::images
