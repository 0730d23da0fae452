#include "lxd-daemon/instances/limits.h"

#include <gtest/gtest.h>

namespace lxmgr::instances {
namespace {

TEST(CpuPlacementTest, SpreadsInstancesOverTheMachine) {
    const auto cpus = usable_cpus();
    if (cpus.size() < 2) GTEST_SKIP() << "needs two CPUs";
    CpuPlacement placement;
    const auto first = placement.choose("a", 1, cpus);
    const auto second = placement.choose("b", 1, cpus);
    EXPECT_NE(first, second);
    EXPECT_EQ(placement.choose("a", 1, cpus), first) << "an instance keeps what it holds";
}

TEST(CpuPlacementTest, MoreThanThereAreGivesAll) {
    CpuPlacement placement;
    EXPECT_EQ(placement.choose("a", 4096, usable_cpus()), usable_cpus());
}

TEST(CpuPlacementTest, MovesToWhatAnotherLeft) {
    CpuPlacement placement;
    const std::vector<int> cpus{0, 1};
    placement.pin("pinned", {1});
    EXPECT_EQ(placement.choose("a", 1, cpus), std::vector<int>{0});
    EXPECT_EQ(placement.choose("b", 1, cpus), std::vector<int>{0});
    EXPECT_TRUE(placement.improvable().empty());
    placement.release("pinned");
    EXPECT_EQ(placement.improvable().front(), "a");
    EXPECT_EQ(placement.improve("a"), std::vector<int>{1});
    EXPECT_TRUE(placement.improvable().empty());
    EXPECT_FALSE(placement.improve("pinned"));
}

TEST(LimitsTest, EmptyConfigLimitsNothing) {
    CpuPlacement placement;
    EXPECT_EQ(*limits_of("a", {}, placement), runtime::Limits{});
}

TEST(LimitsTest, ReadsEveryKey) {
    CpuPlacement placement;
    const auto limits = limits_of("a",
                                  {{"limits.memory", "64MiB"},
                                   {"limits.memory.enforce", "soft"},
                                   {"limits.processes", "30"},
                                   {"limits.cpu", "0-0"},
                                   {"limits.cpu.allowance", "25ms/100ms"}},
                                  placement);
    ASSERT_TRUE(limits);
    EXPECT_EQ(limits->memory_bytes, 64U << 20);
    EXPECT_TRUE(limits->memory_soft);
    EXPECT_EQ(limits->processes, 30U);
    EXPECT_EQ(limits->cpus, std::vector<int>{0});
    EXPECT_EQ(limits->cpu_quota_us, 25000U);
    EXPECT_EQ(limits->cpu_period_us, 100000U);
}

TEST(LimitsTest, CpuThatIsNotThereIsNamed) {
    CpuPlacement placement;
    const auto limits = limits_of("a", {{"limits.cpu", "4000-4001"}}, placement);
    ASSERT_FALSE(limits);
    EXPECT_EQ(limits.error().status, Status::bad_request);
    EXPECT_NE(limits.error().message.find("4000"), std::string::npos);
}

}  // namespace
}  // namespace lxmgr::instances
