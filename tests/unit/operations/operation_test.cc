#include "lxd-daemon/operations/operation.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <latch>
#include <stdexcept>
#include <thread>

#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/operations/worker_pool.h"

namespace lxmgr::operations {
namespace {

using api::StatusCode;
using nlohmann::json;

void wait_for(Operation& operation) {
    auto done = std::make_shared<std::promise<void>>();
    operation.on_final([done] { done->set_value(); });
    done->get_future().wait();
}

class RegistryTest : public testing::Test {
protected:
    Request task(Body body, std::vector<std::string> locks = {}) {
        Request request;
        request.description = "Testing";
        request.body = std::move(body);
        request.locks = std::move(locks);
        return request;
    }
    OperationPtr start(Request request) {
        auto started = registry_.start(std::move(request));
        EXPECT_TRUE(started.has_value());
        return *started;
    }

    events::Hub hub_;
    WorkerPool workers_{32};
    Registry registry_{workers_, hub_};
};

TEST_F(RegistryTest, SuccessMergesTheValueIntoTheMetadata) {
    auto request =
        task([](Operation&, std::stop_token) -> Result<json> { return json{{"fingerprint", "abc"}}; });
    request.metadata = json{{"a", 1}};
    const auto operation = start(std::move(request));
    wait_for(*operation);
    EXPECT_EQ(operation->status(), StatusCode::success);
    const auto shown = operation->to_json();
    EXPECT_EQ(shown["metadata"], (json{{"a", 1}, {"fingerprint", "abc"}}));
    EXPECT_EQ(shown["class"], "task");
    EXPECT_EQ(shown["err"], "");
    EXPECT_EQ(shown["location"], "none");
    EXPECT_TRUE(shown["resources"].is_null());
}

TEST_F(RegistryTest, FailureShowsTheSentence) {
    const auto operation = start(task([](Operation&, std::stop_token) -> Result<json> {
        return fail(Status::not_found, "Image not found");
    }));
    wait_for(*operation);
    EXPECT_EQ(operation->to_json()["status_code"], 400);
    EXPECT_EQ(operation->to_json()["err"], "Image not found");
}

TEST_F(RegistryTest, ExceptionOfABodyIsAFailure) {
    const auto operation = start(
        task([](Operation&, std::stop_token) -> Result<json> { throw std::runtime_error("deliberate"); }));
    wait_for(*operation);
    EXPECT_EQ(operation->status(), StatusCode::failure);
    EXPECT_FALSE(operation->to_json()["err"].get<std::string>().contains("deliberate"));
}

TEST_F(RegistryTest, ResourcesAreUrlsAndInstancesAreContainersToo) {
    auto request = task([](Operation&, std::stop_token) -> Result<json> { return json(); });
    request.resources = {
        {"instances", {"x"}}, {"storage_pools", {"p"}}, {"backups", {"/1.0/instances/x/backups/b"}}};
    const auto resources = start(std::move(request))->to_json()["resources"];
    EXPECT_EQ(resources["instances"][0], "/1.0/instances/x");
    EXPECT_EQ(resources["containers"][0], "/1.0/containers/x");
    EXPECT_EQ(resources["storage_pools"][0], "/1.0/storage-pools/p");
    EXPECT_EQ(resources["backups"][0], "/1.0/instances/x/backups/b");
}

TEST_F(RegistryTest, BodiesThatShareALockRunInOrderOfArrival) {
    std::mutex mutex;
    std::vector<int> order;
    std::atomic<int> inside{0};
    std::vector<OperationPtr> all;
    for (int i = 0; i < 50; ++i) {
        all.push_back(start(task(
            [&, i](Operation&, std::stop_token) -> Result<json> {
                EXPECT_EQ(++inside, 1);
                {
                    const std::lock_guard lock(mutex);
                    order.push_back(i);
                }
                std::this_thread::yield();
                --inside;
                return json();
            },
            {"instance/x"})));
    }
    for (const auto& operation : all) wait_for(*operation);
    ASSERT_EQ(order.size(), 50U);
    EXPECT_TRUE(std::ranges::is_sorted(order));
}

TEST_F(RegistryTest, OtherLocksGoInParallel) {
    std::latch both(2);
    auto body = [&](Operation&, std::stop_token) -> Result<json> {
        both.arrive_and_wait();
        return json();
    };
    const auto one = start(task(body, {"a"}));
    const auto two = start(task(body, {"b"}));
    wait_for(*one);
    wait_for(*two);
}

TEST_F(RegistryTest, OverlappingLockSetsNeverDeadlock) {
    std::vector<OperationPtr> all;
    std::atomic<int> a{0};
    std::atomic<int> b{0};
    for (int i = 0; i < 200; ++i) {
        const std::vector<std::string> locks = i % 3 == 0   ? std::vector<std::string>{"b", "a"}
                                               : i % 3 == 1 ? std::vector<std::string>{"a"}
                                                            : std::vector<std::string>{"b", "b"};
        all.push_back(start(task(
            [&, i](Operation&, std::stop_token) -> Result<json> {
                if (i % 3 != 2) {
                    EXPECT_EQ(++a, 1);
                }
                if (i % 3 != 1) {
                    EXPECT_EQ(++b, 1);
                }
                std::this_thread::yield();
                if (i % 3 != 2) --a;
                if (i % 3 != 1) --b;
                return json();
            },
            locks)));
    }
    for (const auto& operation : all) wait_for(*operation);
}

TEST_F(RegistryTest, WaitingForALockIsPending) {
    std::latch go(1);
    const auto holder = start(task(
        [&](Operation&, std::stop_token) -> Result<json> {
            go.wait();
            return json();
        },
        {"x"}));
    const auto waiting =
        start(task([](Operation&, std::stop_token) -> Result<json> { return json(); }, {"x"}));
    EXPECT_EQ(holder->status(), StatusCode::running);
    EXPECT_EQ(waiting->status(), StatusCode::pending);
    go.count_down();
    wait_for(*waiting);
    EXPECT_EQ(waiting->status(), StatusCode::success);
}

TEST_F(RegistryTest, CancelOfARunningBodyIsSeenByItsStopToken) {
    auto request = task([](Operation&, std::stop_token stop) -> Result<json> {
        std::promise<void> asked;
        const std::stop_callback on_stop(stop, [&asked] { asked.set_value(); });
        asked.get_future().wait();
        return fail(Status::internal, "Stopped");
    });
    request.may_cancel = true;
    const auto operation = start(std::move(request));
    EXPECT_TRUE(operation->cancel().has_value());
    wait_for(*operation);
    EXPECT_EQ(operation->status(), StatusCode::cancelled);
    EXPECT_EQ(operation->cancel().error().status, Status::bad_request);
}

TEST_F(RegistryTest, CancelledWhileWaitingNeverRuns) {
    std::latch go(1);
    std::atomic<bool> ran{false};
    const auto holder = start(task(
        [&](Operation&, std::stop_token) -> Result<json> {
            go.wait();
            return json();
        },
        {"x"}));
    auto request = task(
        [&](Operation&, std::stop_token) -> Result<json> {
            ran = true;
            return json();
        },
        {"x"});
    request.may_cancel = true;
    const auto waiting = start(std::move(request));
    const auto last = start(task([](Operation&, std::stop_token) -> Result<json> { return json(); }, {"x"}));
    EXPECT_TRUE(waiting->cancel().has_value());
    EXPECT_EQ(waiting->status(), StatusCode::cancelled);
    go.count_down();
    wait_for(*last);
    EXPECT_FALSE(ran);
}

TEST_F(RegistryTest, CancelIsRefusedWhenTheOperationDoesNotAllowIt) {
    std::latch go(1);
    const auto operation = start(task([&](Operation&, std::stop_token) -> Result<json> {
        go.wait();
        return json();
    }));
    EXPECT_EQ(operation->cancel().error().status, Status::bad_request);
    go.count_down();
    wait_for(*operation);
}

TEST_F(RegistryTest, WithoutABodyTheOwnerFinishes) {
    Request request;
    request.kind = Class::websocket;
    const auto operation = start(std::move(request));
    EXPECT_EQ(operation->status(), StatusCode::running);
    operation->finish(json{{"return", 7}});
    operation->finish(fail(Status::internal, "too late"));
    EXPECT_EQ(operation->status(), StatusCode::success);
    EXPECT_EQ(operation->to_json()["metadata"]["return"], 7);
}

TEST_F(RegistryTest, CancelWithoutABodyTellsTheOwner) {
    std::atomic<int> told{0};
    Request request;
    request.kind = Class::websocket;
    request.may_cancel = true;
    request.on_cancel = [&told] { ++told; };
    const auto operation = start(std::move(request));
    EXPECT_TRUE(operation->cancel().has_value());
    EXPECT_EQ(operation->status(), StatusCode::cancelled);
    EXPECT_EQ(told, 1);
}

TEST_F(RegistryTest, EventsComeInTheOrderOfTheChanges) {
    std::mutex mutex;
    std::map<std::string, std::vector<int>> codes;
    const auto subscription = hub_.subscribe(1, [&](const events::Event& event) {
        const auto shown = json::parse(*event.text)["metadata"];
        const std::lock_guard lock(mutex);
        codes[shown["id"]].push_back(shown["status_code"]);
    });
    std::vector<OperationPtr> all;
    for (int i = 0; i < 40; ++i) {
        all.push_back(start(task(
            [](Operation& operation, std::stop_token) -> Result<json> {
                operation.update_metadata(json{{"create_progress", "half"}});
                return json();
            },
            {i % 2 == 0 ? "even" : "odd"})));
    }
    for (const auto& operation : all) wait_for(*operation);
    const std::lock_guard lock(mutex);
    for (const auto& operation : all) EXPECT_EQ(codes[operation->id()], (std::vector{105, 103, 103, 200}));
}

TEST_F(RegistryTest, FinishedStaysReadableForAWhile) {
    const auto operation = start(task([](Operation&, std::stop_token) -> Result<json> { return json(); }));
    wait_for(*operation);
    EXPECT_EQ(registry_.find(operation->id()), operation);
    EXPECT_EQ(registry_.list().size(), 1U);
    const auto next = registry_.expire();
    ASSERT_TRUE(next.has_value());
    EXPECT_LE(*next, std::chrono::steady_clock::now() + std::chrono::seconds(5));
    std::this_thread::sleep_until(*next);  // the retention time itself is what is tested
    EXPECT_EQ(registry_.expire(), std::nullopt);
    EXPECT_EQ(registry_.find(operation->id()), nullptr);
}

TEST_F(RegistryTest, DrainWaitsForBodiesAndRefusesNewOnes) {
    std::latch go(1);
    const auto operation = start(task([&](Operation&, std::stop_token) -> Result<json> {
        go.wait();
        return json();
    }));
    EXPECT_FALSE(registry_.drain(std::chrono::steady_clock::now()));
    EXPECT_EQ(registry_.start(task([](Operation&, std::stop_token) -> Result<json> { return json(); }))
                  .error()
                  .status,
              Status::unavailable);
    go.count_down();
    EXPECT_TRUE(registry_.drain(std::chrono::steady_clock::now() + std::chrono::seconds(10)));
    EXPECT_EQ(operation->status(), StatusCode::success);
}

TEST_F(RegistryTest, WhatIsAbortedEndsOrNeverBegins) {
    const auto until_asked = [](Operation&, std::stop_token stop) -> Result<json> {
        std::promise<void> asked;
        const std::stop_callback tell(stop, [&] { asked.set_value(); });
        asked.get_future().wait();
        return fail(Status::unavailable, "It was asked to end");
    };
    std::atomic<bool> begun = false;
    const auto runs = start(task(until_asked, {"x"}));
    const auto waits = start(task(
        [&](Operation&, std::stop_token) -> Result<json> {
            begun = true;
            return json();
        },
        {"x"}));
    Request request;
    request.kind = Class::websocket;
    const auto clients = start(std::move(request));
    EXPECT_FALSE(registry_.drain(std::chrono::steady_clock::now()));
    registry_.abort_bodies();
    EXPECT_TRUE(registry_.drain(std::chrono::steady_clock::now() + std::chrono::seconds(60)));
    EXPECT_EQ(runs->status(), StatusCode::cancelled);
    EXPECT_EQ(waits->status(), StatusCode::cancelled);
    EXPECT_FALSE(begun);
    EXPECT_EQ(clients->status(), StatusCode::running);
}

TEST_F(RegistryTest, WhatTheBodyHeldIsGoneWhenTheOperationIsFinal) {
    auto held = std::make_shared<int>(1);
    const std::weak_ptr<int> watch = held;
    const auto operation =
        start(task([held](Operation&, std::stop_token) -> Result<json> { return json(); }));
    held.reset();
    wait_for(*operation);
    EXPECT_TRUE(watch.expired());
}

TEST_F(RegistryTest, CancelRacesWithTheStartOfTheBody) {
    for (int round = 0; round < 200; ++round) {
        std::atomic<int> inside{0};
        auto body = [&](Operation&, std::stop_token) -> Result<json> {
            EXPECT_EQ(++inside, 1);
            std::this_thread::yield();
            --inside;
            return json();
        };
        const auto first = start(task(body, {"x"}));
        auto request = task(body, {"x"});
        request.may_cancel = true;
        const auto second = start(std::move(request));
        const auto third = start(task(body, {"x"}));
        (void)second->cancel();
        wait_for(*first);
        wait_for(*second);
        wait_for(*third);
    }
}

}  // namespace
}  // namespace lxmgr::operations
