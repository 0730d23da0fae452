#pragma once
#include <string>

namespace lxmgr::instances {

/// A name for an instance whose creator gave none: two words and a number, a DNS label.
std::string random_name();

}  // namespace lxmgr::instances
