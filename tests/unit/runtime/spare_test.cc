#include "lxd-daemon/runtime/spare.h"

#include "tests/unit/runtime/fixture.h"

namespace lxmgr::runtime::test {
namespace {

/// The monitor in reserve, alone and as starts use it. On a pure cgroup2 host there is none.
class SpareTest : public RuntimeTest {
protected:
    void SetUp() override {
        RuntimeTest::SetUp();
        if (IsSkipped()) return;
        if (!must(sys::Cgroups::open(parent_)).start_moves()) GTEST_SKIP() << "needs v1 cgroups";
    }
    /// Children of this process that are shown so.
    static std::vector<pid_t> monitors(const std::string& shown) {
        std::vector<pid_t> found;
        for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
            const auto children = read_file(task.path() / "children");
            for (const std::string& pid : split(children.value_or(""), ' ')) {
                const auto line = read_file(fmt::format("/proc/{}/cmdline", pid));
                if (line && line->starts_with("lxmgr-monitor" + std::string(1, '\0') + shown))
                    found.push_back(std::stoi(pid));
            }
        }
        return found;
    }
    pid_t await_spare() {
        std::vector<pid_t> found;
        EXPECT_TRUE(eventually([&] {
            found = monitors("(spare)");
            return found.size() == 1 && is_in(found[0], ".spare");
        }));
        return found.empty() ? -1 : found[0];
    }
    /// In every v1 hierarchy in which all containers are.
    bool is_in(pid_t pid, const std::string& group) const {
        const auto text = read_file(fmt::format("/proc/{}/cgroup", pid));
        for (const std::string& line : split(text.value_or(""), '\n')) {
            const bool counts = line.contains(":memory:") || line.contains(":pids:");
            if (counts && !line.ends_with(fmt::format("/{}/{}", parent_, group))) return false;
        }
        return text.has_value();
    }
};

TEST_F(SpareTest, AStartTakesItAndItLeavesTheContainersGroups) {
    const pid_t spare = await_spare();
    const Running running = start("c1");
    EXPECT_EQ(monitors("c1"), std::vector<pid_t>{spare});
    EXPECT_TRUE(is_in(running.init_pid, "c1"));
    EXPECT_TRUE(eventually([&] { return is_in(spare, ".monitors"); }));
    EXPECT_EQ(shell("c1", "echo here").out, "here\n");
    EXPECT_NE(await_spare(), spare);
}

TEST_F(SpareTest, OneThatWasKilledIsReplacedAndAStartGoesOnWithoutIt) {
    const pid_t spare = await_spare();
    ASSERT_EQ(::kill(spare, SIGKILL), 0);
    siginfo_t ended{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(spare), &ended, WEXITED | WNOWAIT), 0);
    const Running running = start("c1");
    EXPECT_TRUE(is_in(running.init_pid, "c1"));
    EXPECT_EQ(monitors("c1").size(), 1U);
    EXPECT_NE(await_spare(), spare);
}

TEST_F(SpareTest, OneThatIsKilledWhenAStartHasTakenItIsReplaced) {
    const pid_t spare = await_spare();
    auto asked = request("c1", {"/usr/bin/sleep", "infinity"});
    must(runtime_->prepare_start(asked));
    ASSERT_EQ(::kill(spare, SIGKILL), 0);
    siginfo_t ended{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(spare), &ended, WEXITED | WNOWAIT), 0);
    const auto started = try_start(asked);
    ASSERT_TRUE(started) << started.error().message;
    EXPECT_TRUE(is_in(started->init_pid, "c1"));
    EXPECT_EQ(shell("c1", "echo here").out, "here\n");
}

TEST_F(SpareTest, APreparedStartThatIsCancelledEndsIt) {
    const pid_t spare = await_spare();
    auto asked = request("c1", {"/usr/bin/sleep", "infinity"});
    must(runtime_->prepare_start(asked));
    EXPECT_TRUE(is_in(spare, "c1"));
    runtime_->cancel_start("c1");
    EXPECT_EQ(runtime_->leftovers(), std::vector<std::string>{});
    EXPECT_EQ(::kill(spare, 0), -1);
    start("c1");
}

TEST_F(SpareTest, LowLimitsOfProcessesAndOtherHierarchiesDoWithoutIt) {
    const pid_t spare = await_spare();
    auto few = request("few", {"/usr/bin/sleep", "infinity"});
    few.limits.processes = 1;
    must(try_start(few));
    auto pinned = request("pinned", {"/usr/bin/sleep", "infinity"});
    pinned.limits.cpus = {{0}};
    must(try_start(pinned));
    auto raw = request("raw", {"/usr/bin/sleep", "infinity"});
    raw.extras.cgroup_values = {{"lxc.cgroup.pids.max", "pids", "pids.max", "1"}};
    const auto started = try_start(raw);
    EXPECT_TRUE(started) << started.error().message;
    EXPECT_EQ(monitors("(spare)"), std::vector<pid_t>{spare});
}

TEST_F(SpareTest, GroupsThatCannotBeHadLeaveItSpare) {
    runtime_.reset();
    sys::Cgroups cgroups = must(sys::Cgroups::open(parent_));
    const MonitorProgram program = must(MonitorProgram::open(monitor_program()));
    Spare spare(cgroups, program);
    EXPECT_FALSE(spare.take("a"));
    EXPECT_TRUE(spare.fill());
    EXPECT_FALSE(spare.fill());
    must(cgroups.create_v1("a", "pids"));
    EXPECT_FALSE(spare.take("a"));
    EXPECT_TRUE(spare.is_ready());
    must(cgroups.remove("a"));
    auto taken = spare.take("a");
    ASSERT_TRUE(taken);
    EXPECT_TRUE(is_in(taken->process.pid, "a"));
    EXPECT_FALSE(spare.is_ready());
    end_monitor(*taken);
    must(cgroups.remove("a"));
}

}  // namespace
}  // namespace lxmgr::runtime::test
