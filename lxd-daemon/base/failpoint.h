#pragma once

/// Named points at which a test makes the daemon die or a step fail. Compiled in only with LXMGR_FAILPOINTS.
/// LXMGR_FAILPOINT="name" kills the process (SIGKILL) the first time the point is reached, "name=3" the third
/// time, "name:error" makes failpoint_fails() true there from the first time on. "name:pause=FIFO" stops the
/// thread that reaches it first: it opens the FIFO for writing, which wakes who opens it for reading, and
/// then for reading, until it is opened for writing and closed. LXMGR_FAILPOINT_LOG=FILE appends each name as
/// it is reached, so that a sweep can list the points of an operation. With LXMGR_FAILPOINT_FROM=FILE no
/// point is counted, died at or written down before that file exists: what a start does is not the
/// operation's.
namespace lxmgr {

#ifdef LXMGR_FAILPOINTS
void failpoint(const char* name);
bool failpoint_fails(const char* name);
#else
inline void failpoint(const char*) {}
inline bool failpoint_fails(const char*) { return false; }
#endif

}  // namespace lxmgr
