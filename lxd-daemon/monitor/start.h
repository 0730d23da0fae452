#pragma once

namespace lxmgr::monitor {

/// Receives the start message on state.control and boots the container; returns when init has been exec'd and
/// the daemon knows. Every failure, and the daemon's end before `go`, undoes all and ends this process.
void start_container();

}  // namespace lxmgr::monitor
