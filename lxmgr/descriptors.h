#pragma once
#include <string_view>

namespace lxmgr::cli {

/// Writes all of it, waiting when the descriptor is full (also when someone made it non-blocking).
/// False: it cannot be written, and errno says why. A closed pipe ends the program by SIGPIPE, as it ends
/// others.
bool write_all(int fd, std::string_view bytes);

}  // namespace lxmgr::cli
