#pragma once
#include <cstddef>

#include "lxd-daemon/runtime/child/report.h"

namespace lxmgr::child {

/// Path beneath /proc/sys and value by turns, `count` pairs. In the container's namespaces, and by its root's
/// rights: what the kernel does not let those change is not the container's.
void write_sysctls(const Report& report, const char* const* pairs, std::size_t count);

}  // namespace lxmgr::child
