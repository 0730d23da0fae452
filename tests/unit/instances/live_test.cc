#include "lxd-daemon/instances/live.h"

#include <gtest/gtest.h>

#include <thread>

namespace lxmgr::instances {
namespace {

using std::chrono::milliseconds;

TEST(LiveStatesTest, UnknownInstanceIsStopped) {
    LiveStates live;
    EXPECT_EQ(live.get("a").status, api::StatusCode::stopped);
    EXPECT_TRUE(live.wait_stopped("a", milliseconds(0), {}));
}

TEST(LiveStatesTest, WaiterWakesWhenStopped) {
    LiveStates live;
    live.started("a", {.init_pid = 42}, {});
    EXPECT_FALSE(live.wait_stopped("a", milliseconds(1), {}));
    std::jthread stopper([&] { live.stopped("a"); });
    EXPECT_TRUE(live.wait_stopped("a", std::nullopt, {}));
}

TEST(LiveStatesTest, WaiterGivesUpWhenItsOperationIsCancelled) {
    LiveStates live;
    live.started("a", {.init_pid = 42}, {});
    std::stop_source source;
    std::jthread canceller([&] { source.request_stop(); });
    EXPECT_FALSE(live.wait_stopped("a", std::nullopt, source.get_token()));
}

TEST(LiveStatesTest, RunsAreToldApart) {
    LiveStates live;
    live.started("a", {.init_pid = 1}, {});
    const auto first = live.get("a").runs;
    live.stopped("a");
    live.started("a", {.init_pid = 2}, {});
    EXPECT_NE(live.get("a").runs, first);
}

TEST(LiveStatesTest, GenerationGrowsWithEveryChange) {
    LiveStates live;
    const auto before = live.generation();
    live.starting("a");
    EXPECT_GT(live.generation(), before);
}

}  // namespace
}  // namespace lxmgr::instances
