#include "lxd-daemon/sys/cgroup.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/sys/cgroup_parent.h"

namespace lxmgr::sys {
namespace {

using std::chrono::milliseconds;

class CgroupTest : public testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root: cgroups";
        parent_ = fmt::format("lxmgr-cg-{}", ::getpid());
        auto opened = Cgroups::open(parent_);
        ASSERT_TRUE(opened) << opened.error().message;
        cgroups_.emplace(std::move(*opened));
    }
    void TearDown() override {
        if (!cgroups_) return;
        for (const std::string& name : cgroups_->names()) EXPECT_TRUE(cgroups_->remove(name));
        cgroups_.reset();
        const std::string mounts = *read_file("/proc/self/mountinfo");
        for (const std::string& line : split(mounts, '\n')) {
            if (line.contains(" - cgroup"))
                ::rmdir(fmt::format("{}/{}", split(line, ' ')[4], parent_).c_str());
        }
    }
    /// A child in the group that sleeps until it is killed.
    pid_t sleeper(int cgroup) {
        clone_args args{};
        args.flags = CLONE_INTO_CGROUP;
        args.exit_signal = SIGCHLD;
        args.cgroup = static_cast<std::uint64_t>(cgroup);
        const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
        if (pid == 0) {
            for (;;) ::pause();
        }
        return pid;
    }
    std::string parent_;
    std::optional<Cgroups> cgroups_;
};

TEST_F(CgroupTest, DelegatesTheProcessFilesAndNoLimit) {
    const auto fd = cgroups_->create("a", 1'000'000, 1'000'001);
    ASSERT_TRUE(fd) << fd.error().message;
    struct stat info{};
    ASSERT_EQ(::fstat(fd->get(), &info), 0);
    EXPECT_EQ(info.st_uid, 1'000'000U);
    EXPECT_EQ(info.st_gid, 1'000'001U);
    for (const char* file : {"cgroup.procs", "cgroup.subtree_control"}) {
        ASSERT_EQ(::fstatat(fd->get(), file, &info, 0), 0);
        EXPECT_EQ(info.st_uid, 1'000'000U) << file;
    }
    for (const char* file : {"cgroup.freeze", "pids.max", "memory.max", "cpu.max"}) {
        const bool here = ::fstatat(fd->get(), file, &info, 0) == 0;
        EXPECT_TRUE(!here || info.st_uid == 0) << file;
    }
    EXPECT_EQ(cgroups_->names(), std::vector<std::string>{"a"});
}

TEST_F(CgroupTest, TheParentGoesWhenNothingIsInItAnyMore) {
    ASSERT_TRUE(cgroups_->create("a", 0, 0));
    ASSERT_TRUE(cgroups_->keeper_procs());
    ASSERT_TRUE(remove_cgroup_parent(parent_));
    EXPECT_EQ(cgroups_->names(), std::vector<std::string>{"a"});
    ASSERT_TRUE(cgroups_->remove("a"));
    ASSERT_TRUE(remove_cgroup_parent(parent_));
    const std::string mounts = *read_file("/proc/self/mountinfo");
    for (const std::string& line : split(mounts, '\n')) {
        if (!line.contains(" - cgroup")) continue;
        EXPECT_FALSE(path_exists(fmt::format("{}/{}", split(line, ' ')[4], parent_))) << line;
    }
    EXPECT_TRUE(remove_cgroup_parent(parent_));  // absent is success
    cgroups_.reset();
}

TEST_F(CgroupTest, EveryControllerThatLimitsNeedHasAHome) {
    for (const char* controller : {"memory", "pids", "cpu", "cpuset"}) {
        EXPECT_NE(cgroups_->home(controller), Cgroups::Home::none) << controller;
    }
    EXPECT_EQ(cgroups_->home("no-such"), Cgroups::Home::none);
}

TEST_F(CgroupTest, RemovesWhatAGuestMadeInside) {
    const auto fd = cgroups_->create("a", 0, 0);
    ASSERT_TRUE(fd);
    ASSERT_TRUE(cgroups_->create_v1("a", "memory"));
    for (const char* path : {"x", "x/y", "x/y/z", "w"}) ASSERT_EQ(::mkdirat(fd->get(), path, 0755), 0);
    ASSERT_TRUE(cgroups_->remove("a"));
    EXPECT_EQ(cgroups_->names(), std::vector<std::string>{});
    EXPECT_TRUE(cgroups_->remove("a"));
}

TEST_F(CgroupTest, FreezeKillAndEmptyFollowTheKernel) {
    const auto fd = cgroups_->create("a", 0, 0);
    ASSERT_TRUE(fd);
    EXPECT_TRUE(cgroups_->wait_empty("a", milliseconds(0)));
    const pid_t pid = sleeper(fd->get());
    ASSERT_GT(pid, 0);
    EXPECT_FALSE(cgroups_->wait_empty("a", milliseconds(0)));
    EXPECT_FALSE(cgroups_->remove("a"));
    ASSERT_TRUE(cgroups_->freeze("a", true, milliseconds(5000)));
    EXPECT_TRUE(cgroups_->is_frozen("a"));
    ASSERT_TRUE(cgroups_->freeze("a", false, milliseconds(5000)));
    EXPECT_FALSE(cgroups_->is_frozen("a"));
    ASSERT_TRUE(cgroups_->kill("a"));
    EXPECT_TRUE(cgroups_->wait_empty("a", milliseconds(5000)));
    EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
}

TEST_F(CgroupTest, GatherMovesRunningProcesses) {
    if (cgroups_->home("cpu") != Cgroups::Home::v1) GTEST_SKIP() << "needs a v1 cpu hierarchy";
    const auto fd = cgroups_->create("a", 0, 0);
    ASSERT_TRUE(fd);
    const pid_t pid = sleeper(fd->get());
    ASSERT_GT(pid, 0);
    EXPECT_FALSE(cgroups_->has_v1("a", "cpu"));
    ASSERT_TRUE(cgroups_->create_v1("a", "cpu"));
    EXPECT_TRUE(cgroups_->has_v1("a", "cpu"));
    ASSERT_TRUE(cgroups_->gather_v1("a", "cpu"));
    EXPECT_EQ(trim(cgroups_->read("a", "cpu", "cgroup.procs").value_or("")), std::to_string(pid));
    ::kill(pid, SIGKILL);
    EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
}

TEST_F(CgroupTest, AbsentFilesAreNotFound) {
    EXPECT_EQ(cgroups_->read("nobody", "memory", "x").error().status, Status::not_found);
    EXPECT_EQ(cgroups_->write("nobody", "", "cgroup.freeze", "1").error().status, Status::not_found);
    cgroups_->warm();
}

}  // namespace
}  // namespace lxmgr::sys
