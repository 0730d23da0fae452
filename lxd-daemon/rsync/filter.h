#pragma once

namespace lxmgr::rsync {

/// From now on, mknod(2) makes no device nodes but those that images may hold, too (images/entry.cc), and
/// overlay whiteouts. False with errno.
bool forbid_devices();

}  // namespace lxmgr::rsync
