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

TEST(LiveStatesTest, ReadinessThatOvertakesTheStartIsKept) {
    const Time at(std::chrono::seconds(5));
    LiveStates live;
    live.starting("a");
    live.set_ready("a", at);
    live.started("a", {.init_pid = 42}, {});
    EXPECT_EQ(ready_at(live.get("a")), at);
    live.stopped("a");
    live.starting("a");
    live.started("a", {.init_pid = 43}, {});
    EXPECT_EQ(ready_at(live.get("a")), Time{});
}

TEST(LiveStatesTest, TheGuestsOwnWordThatOvertakesTheStartIsKept) {
    const Time at(std::chrono::seconds(5));
    LiveStates live;
    live.starting("a");
    live.set_guest_ready("a", true, at);
    live.started("a", {.init_pid = 42}, {});
    EXPECT_EQ(shown_status(live.get("a")), api::StatusCode::ready);
    EXPECT_EQ(ready_at(live.get("a")), at);
    live.stopped("a");
    live.starting("a");
    live.started("a", {.init_pid = 43}, {});
    EXPECT_EQ(shown_status(live.get("a")), api::StatusCode::running);
}

TEST(LiveStatesTest, ReadinessThatOvertakesTheRecoveryIsKept) {
    const Time at(std::chrono::seconds(5));
    LiveStates live;
    live.set_ready("a", at);
    EXPECT_EQ(live.get("a").status, api::StatusCode::stopped);
    live.started("a", {.init_pid = 42}, {});
    EXPECT_EQ(ready_at(live.get("a")), at);
    live.stopped("a");
    live.started("a", {.init_pid = 43}, {});
    EXPECT_EQ(ready_at(live.get("a")), Time{});
}

TEST(LiveStatesTest, TheGuestsOwnWordMakesItReady) {
    LiveStates live;
    live.started("a", {.init_pid = 42}, {});
    live.set_ready("a", Time(std::chrono::seconds(9)));
    EXPECT_EQ(shown_status(live.get("a")), api::StatusCode::running);
    live.set_guest_ready("a", true, Time(std::chrono::seconds(7)));
    EXPECT_EQ(shown_status(live.get("a")), api::StatusCode::ready);
    EXPECT_EQ(ready_at(live.get("a")), Time(std::chrono::seconds(7)));
    live.set_status("a", api::StatusCode::frozen);
    EXPECT_EQ(shown_status(live.get("a")), api::StatusCode::frozen);
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
