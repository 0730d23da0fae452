#include "lxd-daemon/rsync/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lxmgr::rsync {
namespace {

/// What the check gives in a process behind the filter.
template <typename Check>
int behind_filter(const Check& check) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(confine_calls() ? check() : 100);
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 200;
}

bool is_refused(long result) { return result == -1 && errno == EPERM; }

TEST(FilterTest, RefusesTheWaysOutOfTheTree) {
    EXPECT_EQ(behind_filter([] {
                  if (!is_refused(::syscall(SYS_open_by_handle_at, -1, nullptr, O_RDONLY))) return 1;
                  if (!is_refused(::socket(AF_INET, SOCK_STREAM, 0))) return 2;
                  if (!is_refused(::syscall(SYS_ptrace, 0, 0, 0, 0))) return 3;
                  if (!is_refused(::syscall(SYS_unshare, 0))) return 4;
                  return 0;
              }),
              0);
}

TEST(FilterTest, RefusesDevicesThatNoImageMayHold) {
    EXPECT_EQ(behind_filter([] {
                  constexpr int kNowhere = -1;  // the filter answers before the kernel looks at it
                  if (!is_refused(::mknodat(kNowhere, "x", S_IFBLK, makedev(7, 0)))) return 1;
                  if (!is_refused(::mknodat(kNowhere, "x", S_IFCHR, makedev(1, 1)))) return 2;  // /dev/mem
                  if (is_refused(::mknodat(kNowhere, "x", S_IFCHR, makedev(1, 3)))) return 3;
                  if (is_refused(::mknodat(kNowhere, "x", S_IFIFO, 0))) return 4;
                  return 0;
              }),
              0);
}

TEST(FilterTest, LetsRsyncWork) {
    EXPECT_EQ(behind_filter([] {
                  int pair[2];
                  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 1;
                  const pid_t child = ::fork();
                  if (child == 0) ::_exit(0);
                  return child > 0 && ::waitpid(child, nullptr, 0) == child ? 0 : 2;
              }),
              0);
}

}  // namespace
}  // namespace lxmgr::rsync
