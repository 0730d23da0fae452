#include "lxd-daemon/operations/worker_pool.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <latch>
#include <stdexcept>
#include <thread>

namespace lxmgr::operations {
namespace {

TEST(WorkerPoolTest, RunsWhatIsQueuedBeforeItEnds) {
    std::atomic<int> done{0};
    {
        WorkerPool pool(3);
        for (int i = 0; i < 1000; ++i) pool.post([&done] { ++done; });
    }
    EXPECT_EQ(done, 1000);
}

TEST(WorkerPoolTest, HoldsNoThreadBeforeTheFirstWork) {
    const WorkerPool pool;
    EXPECT_EQ(pool.thread_count(), 0U);
}

TEST(WorkerPoolTest, GrowsWhileAllAreBusyUpToTheLimit) {
    WorkerPool pool(4);
    std::latch all_run(4);
    std::latch go(1);
    for (int i = 0; i < 8; ++i) {
        pool.post([&, i] {
            if (i < 4) all_run.count_down();
            go.wait();
        });
    }
    all_run.wait();
    EXPECT_EQ(pool.thread_count(), 4U);
    go.count_down();
}

TEST(WorkerPoolTest, WhoWaitsForOtherWorkOfThePoolTakesNobodysPlace) {
    WorkerPool pool(2);
    std::latch done(3);
    std::latch all_wait(3);
    for (int i = 0; i < 3; ++i) {
        pool.post([&] {
            const WorkerPool::Waiting waiting(pool);
            all_wait.count_down();
            done.wait();
        });
    }
    all_wait.wait();
    for (int i = 0; i < 3; ++i) pool.post([&done] { done.count_down(); });
    done.wait();
}

TEST(WorkerPoolTest, ReusesAnIdleThread) {
    WorkerPool pool(8);
    for (int i = 0; i < 20; ++i) {
        std::latch done(1);
        pool.post([&done] { done.count_down(); });
        done.wait();
        while (pool.idle_count() == 0) std::this_thread::yield();  // it still has to come back from its work
    }
    EXPECT_EQ(pool.thread_count(), 1U);
}

TEST(WorkerPoolTest, SurvivesAnExceptionOfTheWork) {
    WorkerPool pool(1);
    std::latch done(1);
    pool.post([] { throw std::runtime_error("deliberate"); });
    pool.post([&done] { done.count_down(); });
    done.wait();
}

TEST(WorkerPoolTest, WorkMayPostMoreWork) {
    std::atomic<int> done{0};
    {
        WorkerPool pool(2);
        pool.post([&] {
            ++done;
            pool.post([&] {
                ++done;
                pool.post([&] { ++done; });
            });
        });
    }
    EXPECT_EQ(done, 3);
}

}  // namespace
}  // namespace lxmgr::operations
