#include "lxd-daemon/base/spawn.h"
#include "tests/unit/runtime/fixture.h"

namespace lxmgr::runtime::test {
namespace {

using Kind = ExitStatus::Kind;

class RecoverTest : public RuntimeTest {
protected:
    pid_t monitor_of(pid_t init) {
        const auto status = must(read_file(fmt::format("/proc/{}/status", init)));
        const auto at = status.find("PPid:\t");
        return static_cast<pid_t>(std::stoi(status.substr(at + 6)));
    }
};

TEST_F(RecoverTest, NextDaemonFindsTheSameContainer) {
    const Running before = start("c1");
    runtime_.reset();
    open_runtime();
    EXPECT_EQ(runtime_->leftovers(), std::vector<std::string>{"c1"});
    const auto after = must(runtime_->recover("c1", run_dir("c1")));
    ASSERT_TRUE(after);
    EXPECT_EQ(after->init_pid, before.init_pid);
    EXPECT_EQ(after->started_at_ns / 1'000'000'000, before.started_at_ns / 1'000'000'000);
    EXPECT_EQ(runtime_->leftovers(), std::vector<std::string>{});
    EXPECT_EQ(shell("c1", "echo here").out, "here\n");
    ASSERT_TRUE(runtime_->kill("c1"));
    EXPECT_EQ(events_.exit_of("c1")->code, SIGKILL);
}

TEST_F(RecoverTest, ExitInBetweenIsReported) {
    const Running running = start("c1", {"/bin/sh", "-c", "read x; exit 9"});
    const UniqueFd console = must(runtime_->attach_console("c1"));
    runtime_.reset();
    ASSERT_EQ(::write(console.get(), "\n", 1), 1);
    ASSERT_TRUE(eventually([&] { return path_exists(run_dir("c1") + "/exit"); }));
    ASSERT_TRUE(eventually([&] { return ::kill(running.init_pid, 0) != 0; }));
    open_runtime();
    EXPECT_FALSE(must(runtime_->recover("c1", run_dir("c1"))));
    EXPECT_EQ(events_.exit_of("c1")->code, 9);
    EXPECT_EQ(runtime_->leftovers(), std::vector<std::string>{});
}

TEST_F(RecoverTest, ExitIsReportedUntilItIsRecorded) {
    start("c1", {"/bin/sh", "-c", "exit 9"});
    ASSERT_TRUE(events_.exit_of("c1"));
    for (int i = 0; i < 2; ++i) {  // each of these daemons dies before it has written it down
        events_.forget();
        open_runtime();
        EXPECT_FALSE(must(runtime_->recover("c1", run_dir("c1"))));
        const auto status = events_.exit_of("c1");
        ASSERT_TRUE(status);
        EXPECT_EQ(status->code, 9);
    }
    runtime_->forget_exit(run_dir("c1"));
    events_.forget();
    open_runtime();
    EXPECT_FALSE(must(runtime_->recover("c1", run_dir("c1"))));
    EXPECT_FALSE(events_.exit_of("c1", std::chrono::milliseconds(0)));
    EXPECT_TRUE(std::filesystem::is_empty(run_dir("c1")));
}

TEST_F(RecoverTest, MonitorsDeathEndsTheContainer) {
    const Running running = start("c1");
    must(runtime_->exec("c1", command({"sleep", "infinity"})));
    ASSERT_EQ(::kill(monitor_of(running.init_pid), SIGKILL), 0);
    const auto status = events_.exit_of("c1");
    ASSERT_TRUE(status);
    EXPECT_EQ(status->detail, "its monitor was killed");
    EXPECT_TRUE(runtime_->wait_stopped("c1", kPatience));
    EXPECT_EQ(runtime_->leftovers(), std::vector<std::string>{});
}

TEST_F(RecoverTest, MonitorsDeathIsSeenByTheNextDaemon) {
    const Running running = start("c1");
    const pid_t monitor = monitor_of(running.init_pid);
    runtime_.reset();
    ASSERT_EQ(::kill(monitor, SIGKILL), 0);
    ASSERT_EQ(::waitpid(monitor, nullptr, 0), monitor);
    open_runtime();
    EXPECT_FALSE(must(runtime_->recover("c1", run_dir("c1"))));
    EXPECT_EQ(events_.exit_of("c1")->detail, "its monitor was killed");
    EXPECT_TRUE(eventually([&] { return ::kill(running.init_pid, 0) != 0; }));  // reaped by the host's init
    EXPECT_EQ(runtime_->leftovers(), std::vector<std::string>{});
}

TEST_F(RecoverTest, NothingThereIsNothing) {
    EXPECT_FALSE(must(runtime_->recover("ghost", run_dir("ghost"))));
    EXPECT_FALSE(events_.exit_of("ghost", std::chrono::milliseconds(0)));
}

TEST_F(RecoverTest, EmptyCgroupsOfAnInterruptedStartAreRemoved) {
    {
        auto cgroups = must(sys::Cgroups::open(parent_));
        must(cgroups.create("half", kBase, kBase));
        must(cgroups.create_v1("half", "memory"));
    }
    EXPECT_EQ(runtime_->leftovers(), std::vector<std::string>{"half"});
    EXPECT_FALSE(must(runtime_->recover("half", run_dir("half"))));
    EXPECT_EQ(runtime_->leftovers(), std::vector<std::string>{});
}

/// The starting daemon of the two tests below, in a process of its own; see kill_points().
class DoomedDaemon : public RuntimeTest {
protected:
    void SetUp() override {
        if (std::getenv("LXMGR_TEST_DIR") == nullptr) GTEST_SKIP() << "runs as a child of RecoverTest only";
        dir_ = std::getenv("LXMGR_TEST_DIR");
        parent_ = std::getenv("LXMGR_TEST_CGROUP");
        open_runtime();
    }
    void TearDown() override { runtime_.reset(); }
};

TEST_F(DoomedDaemon, DISABLED_StartsOneContainer) {
    auto asked = request("c1", {"/usr/bin/sleep", "infinity"});
    asked.setup_network = [](int, pid_t) -> Result<> { return {}; };
    must(runtime_->start(asked));
}

class DaemonDeathTest : public RecoverTest {
protected:
    Child start_doomed(const std::string& failpoint) {
        Command command;
        command.argv = {std::filesystem::read_symlink("/proc/self/exe"), "--gtest_also_run_disabled_tests",
                        "--gtest_filter=DoomedDaemon.*"};
        command.extra_env = {"LXMGR_TEST_DIR=" + dir_, "LXMGR_TEST_CGROUP=" + parent_,
                             "LXMGR_FAILPOINT=" + failpoint};
        const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
        return must(spawn(command, {{null.get(), 0}, {null.get(), 1}, {null.get(), 2}}));
    }
    /// The next daemon finds a whole container or none, and can start it anew. @return whether there was one
    bool recover_and_restart() {
        open_runtime();
        const bool found = must(runtime_->recover("c1", run_dir("c1"))).has_value();
        if (found) {
            EXPECT_EQ(shell("c1", "true").code, 0);
            EXPECT_TRUE(runtime_->kill("c1") && runtime_->wait_stopped("c1", kPatience));
        }
        EXPECT_EQ(runtime_->leftovers(), std::vector<std::string>{});
        start("c1");
        EXPECT_TRUE(runtime_->kill("c1") && runtime_->wait_stopped("c1", kPatience));
        return found;
    }
};

TEST_F(DaemonDeathTest, AtEveryFailpointLeavesAllOrNothing) {
#ifndef LXMGR_FAILPOINTS
    GTEST_SKIP() << "needs a build with LXMGR_FAILPOINTS";
#endif
    for (const char* step : {"cgroups", "monitor", "namespaces", "network", "go", "started"}) {
        SCOPED_TRACE(step);
        const Child child = start_doomed(fmt::format("runtime.start.{}", step));
        int status = 0;
        ASSERT_EQ(::waitpid(child.pid, &status, 0), child.pid);
        ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
        const bool found = recover_and_restart();
        const bool committed = std::string_view(step) == "started" || std::string_view(step) == "go";
        EXPECT_TRUE(committed || !found);
        EXPECT_TRUE(found || std::string_view(step) != "started");
    }
}

TEST_F(DaemonDeathTest, AtAnyMomentLeavesAllOrNothing) {
    int whole = 0;
    for (int i = 0; i < 40; ++i) {
        const Child child = start_doomed("");
        // Process start takes some 20 ms here; the moments are spread over all of a start, whatever the load.
        ::poll(nullptr, 0, 2 + i);
        ::kill(child.pid, SIGKILL);
        ASSERT_EQ(::waitpid(child.pid, nullptr, 0), child.pid);
        whole += recover_and_restart() ? 1 : 0;
    }
    RecordProperty("containers_that_were_whole", whole);
}

}  // namespace
}  // namespace lxmgr::runtime::test
