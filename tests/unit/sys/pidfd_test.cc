#include "lxd-daemon/sys/pidfd.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lxmgr::sys {
namespace {

TEST(PidfdTest, EndIsSeenAndSignalsFail) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        for (;;) ::pause();
    }
    const auto fd = open_pidfd(pid);
    ASSERT_TRUE(fd);
    EXPECT_FALSE(has_ended(fd->get()));
    EXPECT_FALSE(wait_ended(fd->get(), std::chrono::milliseconds(1)));
    ASSERT_TRUE(send_signal(fd->get(), SIGKILL));
    EXPECT_TRUE(wait_ended(fd->get(), {}));
    EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
    EXPECT_TRUE(has_ended(fd->get()));
    EXPECT_EQ(send_signal(fd->get(), SIGKILL).error().status, Status::not_found);
    EXPECT_EQ(open_pidfd(pid).error().status, Status::not_found);
}

}  // namespace
}  // namespace lxmgr::sys
