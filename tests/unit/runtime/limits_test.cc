#include "tests/unit/runtime/fixture.h"

namespace lxmgr::runtime::test {
namespace {

class LimitsTest : public RuntimeTest {
protected:
    std::string in_cgroup(const std::string& controller, const std::string& file) {
        return std::string(trim(must(must(sys::Cgroups::open(parent_)).read("c1", controller, file))));
    }
    bool on_v1(const std::string& controller) {
        return must(sys::Cgroups::open(parent_)).home(controller) == sys::Cgroups::Home::v1;
    }
    std::string memory_limit() {
        return in_cgroup("memory", on_v1("memory") ? "memory.limit_in_bytes" : "memory.max");
    }
    void start_limited(const Limits& limits) {
        auto asked = request("c1", {"/usr/bin/sleep", "infinity"});
        asked.limits = limits;
        must(try_start(asked));
    }
    /// 200 MB, touched.
    int eat_memory() {
        return run("c1", command({"perl", "-e", "my $x = 'x' x 200_000_000; print length $x"})).code;
    }
};

TEST_F(LimitsTest, MemoryIsEnforcedAndLiveChangeable) {
    Limits small;
    small.memory_bytes = 64 << 20;
    start_limited(small);
    EXPECT_EQ(eat_memory(), 128 + SIGKILL);
    Limits large;
    large.memory_bytes = 1 << 30;
    ASSERT_TRUE(runtime_->set_limits("c1", small, large));
    EXPECT_EQ(eat_memory(), 0);
    ASSERT_TRUE(runtime_->set_limits("c1", large, Limits{}));
    EXPECT_EQ(eat_memory(), 0);
}

TEST_F(LimitsTest, ProcessesAreEnforcedAsCounted) {
    Limits limits;
    limits.processes = 5;
    start_limited(limits);
    // sleep, this shell, and three more.
    EXPECT_FALSE(shell("c1", "for i in 1 2 3; do sleep 0.1 & done; wait").out.contains("Cannot fork"));
    EXPECT_TRUE(shell("c1", "for i in 1 2 3 4; do sleep 0.1 & done; wait").out.contains("Cannot fork"));
    ASSERT_TRUE(runtime_->set_limits("c1", limits, Limits{}));
    EXPECT_FALSE(shell("c1", "for i in 1 2 3 4 5 6 7 8; do true & done; wait").out.contains("Cannot fork"));
}

TEST_F(LimitsTest, CpuPlacementFollowsLiveForRunningProcesses) {
    start_limited({});
    const ExecHandle running = must(runtime_->exec("c1", command({"sleep", "infinity"})));
    const auto cpus_of = [](pid_t pid) {
        const auto status = must(read_file(fmt::format("/proc/{}/status", pid)));
        const auto at = status.find("Cpus_allowed_list:");
        return std::string(trim(status.substr(at + 18, status.find('\n', at) - at - 18)));
    };
    const std::string all = cpus_of(::getpid());
    Limits pinned;
    pinned.cpus = std::vector<int>{0};
    ASSERT_TRUE(runtime_->set_limits("c1", {}, pinned));
    EXPECT_EQ(cpus_of(running.pid), "0");
    EXPECT_EQ(run("c1", command({"nproc"})).out, "1\n");
    ASSERT_TRUE(runtime_->set_limits("c1", pinned, {}));
    EXPECT_EQ(cpus_of(running.pid), all);
}

TEST_F(LimitsTest, CpuTimeIsEnforced) {
    Limits limits;
    limits.cpu_quota_us = 10'000;
    limits.cpu_period_us = 100'000;
    start_limited(limits);
    // 100 ms of work at a tenth of a CPU.
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(run("c1", command({"perl", "-e", "1 while (times)[0] < 0.1"})).code, 0);
    EXPECT_GT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(500));
}

TEST_F(LimitsTest, FailedChangeLeavesTheOldOnes) {
    Limits before;
    before.memory_bytes = 512 << 20;
    start_limited(before);
    Limits after;
    after.memory_bytes = 256 << 20;
    after.cpus = std::vector<int>{4000};  // there is no such CPU
    const auto changed = runtime_->set_limits("c1", before, after);
    ASSERT_FALSE(changed);
    EXPECT_EQ(memory_limit(), std::to_string(512 << 20));
    EXPECT_EQ(eat_memory(), 0);
}

TEST_F(LimitsTest, StartWithImpossibleLimitLeavesNothing) {
    auto asked = request("c1", {"/usr/bin/sleep", "infinity"});
    asked.limits.cpus = std::vector<int>{4000};
    EXPECT_FALSE(try_start(asked));
    EXPECT_EQ(runtime_->leftovers(), std::vector<std::string>{});
}

TEST_F(LimitsTest, UsageCountsTheContainerAlone) {
    start_limited({});
    EXPECT_TRUE(eventually([&] { return must(runtime_->usage("c1")).processes == 1; }));
    const std::int64_t before = must(runtime_->usage("c1")).cpu_ns;
    ASSERT_EQ(run("c1", command({"perl", "-e", "1 while (times)[0] < 0.2"})).code, 0);
    const Usage after = must(runtime_->usage("c1"));
    EXPECT_GE(after.cpu_ns - before, 150'000'000);
    EXPECT_GT(after.memory_bytes, 0U);
    EXPECT_GE(after.memory_peak_bytes, after.memory_bytes);
    EXPECT_EQ(runtime_->usage("nobody").error().status, Status::not_found);
}

TEST_F(LimitsTest, GuestCannotLiftThem) {
    Limits limits;
    limits.memory_bytes = 64 << 20;
    start_limited(limits);
    const std::string before = memory_limit();
    shell("c1",
          "for f in /sys/fs/cgroup/*.max; do echo max > $f; done; mkdir /tmp/m && mount -t cgroup -o memory "
          "x /tmp/m && "
          "echo -1 > /tmp/m/memory.limit_in_bytes");
    EXPECT_EQ(memory_limit(), before);
    EXPECT_EQ(eat_memory(), 128 + SIGKILL);
}

TEST_F(LimitsTest, FreezeStopsAndThawsEverything) {
    start_limited({});
    const ExecHandle counting = must(runtime_->exec(
        "c1", command({"perl", "-e", "$| = 1; while (1) { open F, '>', '/tmp/n'; print F ++$n; close F }"})));
    const auto count = [&] {
        const UniqueFd root = must(runtime_->open_root("c1"));
        return read_file(fmt::format("/proc/self/fd/{}/tmp/n", root.get())).value_or("");
    };
    ASSERT_TRUE(eventually([&] { return !count().empty(); }));
    ASSERT_TRUE(runtime_->freeze("c1"));
    const std::string frozen = count();
    ::poll(nullptr, 0, 50);
    EXPECT_EQ(count(), frozen);
    ASSERT_TRUE(runtime_->unfreeze("c1"));
    EXPECT_TRUE(eventually([&] { return count() != frozen; }));
    ASSERT_TRUE(runtime_->freeze("c1"));
    ASSERT_TRUE(runtime_->kill("c1"));
    EXPECT_TRUE(runtime_->wait_stopped("c1", kPatience));
}

}  // namespace
}  // namespace lxmgr::runtime::test
