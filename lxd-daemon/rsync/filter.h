#pragma once

namespace lxmgr::rsync {

/// From now on, mknod(2) makes no device nodes but those that images may hold, too (images/entry.cc), and
/// overlay whiteouts; and the calls that could lead out of the tree are refused (EPERM). False with errno.
bool confine_calls();

}  // namespace lxmgr::rsync
