#pragma once
#include <string_view>

namespace lxmgr::images {

/// LXD's name ("x86_64") of what may also be called "amd64"; empty: unknown.
std::string_view architecture_name(std::string_view given);

}  // namespace lxmgr::images
