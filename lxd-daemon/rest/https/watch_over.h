#pragma once

namespace lxmgr::rest {

/// For every TCP connection to another machine, whoever dialled, and whatever it becomes: a peer that
/// vanished is noticed within a minute, and small writes are not held back; tcp(7), socket(7).
void watch_over(int fd);

}  // namespace lxmgr::rest
