#include <future>
#include <latch>

#include "lxd-daemon/rest/expiry.h"
#include "lxd-daemon/rest/routes.h"
#include "tests/unit/rest/fixture.h"

namespace lxmgr::rest {
namespace {

using nlohmann::json;
using testing_support::Client;
using testing_support::TestDaemon;

class OperationRoutesTest : public testing::Test {
protected:
    operations::OperationPtr start(operations::Body body, bool may_cancel = false) {
        operations::Request request;
        request.description = "Testing";
        request.resources = {{"instances", {"x"}}};
        request.body = std::move(body);
        request.may_cancel = may_cancel;
        return *daemon_.registry.start(std::move(request));
    }
    /// Shared: the body may leave the latch after the test has.
    operations::OperationPtr start_waiting(std::shared_ptr<std::latch> go, bool may_cancel = false) {
        auto body = [go](operations::Operation&, std::stop_token) -> Result<json> {
            go->wait();
            return json{{"answer", 42}};
        };
        return start(body, may_cancel);
    }
    Client client() { return Client(daemon_.socket_path()); }
    static std::string url(const operations::OperationPtr& operation) {
        return "/1.0/operations/" + operation->id();
    }

    TestDaemon daemon_{{operation_routes(), event_routes()}};
};

TEST_F(OperationRoutesTest, ListIsGroupedByStatus) {
    EXPECT_EQ(client().request("GET", "/1.0/operations").json()["metadata"], json::object());
    const auto go = std::make_shared<std::latch>(1);
    const auto operation = start_waiting(go);
    auto c = client();
    EXPECT_EQ(c.request("GET", "/1.0/operations").json()["metadata"], (json{{"running", {url(operation)}}}));
    const auto listed = c.request("GET", "/1.0/operations?recursion=1").json()["metadata"]["running"][0];
    EXPECT_EQ(listed["id"], operation->id());
    EXPECT_EQ(listed["resources"]["containers"][0], "/1.0/containers/x");
    go->count_down();
}

TEST_F(OperationRoutesTest, WaitReturnsTheFinalOperation) {
    const auto go = std::make_shared<std::latch>(1);
    const auto operation = start_waiting(go);
    auto c = client();
    c.send("GET " + url(operation) + "/wait HTTP/1.1\r\n\r\n");
    EXPECT_EQ(client().request("GET", url(operation) + "/wait?timeout=0").json()["metadata"]["status"],
              "Running");
    go->count_down();
    const auto final = c.receive().json()["metadata"];
    EXPECT_EQ(final["status_code"], 200);
    EXPECT_EQ(final["metadata"]["answer"], 42);
    EXPECT_EQ(c.request("GET", url(operation) + "/wait").json()["metadata"]["status"], "Success");
    EXPECT_EQ(c.request("GET", url(operation) + "/wait?timeout=x").status, 400);
}

TEST_F(OperationRoutesTest, WaitEndsWhenTheTimeIsUpOrTheClientGoes) {
    const auto go = std::make_shared<std::latch>(1);
    const auto operation = start_waiting(go);
    EXPECT_EQ(client().request("GET", url(operation) + "/wait?timeout=1").json()["metadata"]["status"],
              "Running");
    {
        auto c = client();
        c.send("GET " + url(operation) + "/wait HTTP/1.1\r\n\r\n");
        while (daemon_.connections() < 1) std::this_thread::yield();
    }
    while (daemon_.connections() > 0) std::this_thread::yield();
    go->count_down();
}

TEST_F(OperationRoutesTest, DeleteCancelsWhatMayBeCancelled) {
    auto body = [](operations::Operation&, std::stop_token stop) -> Result<json> {
        std::promise<void> asked;
        const std::stop_callback on_stop(stop, [&asked] { asked.set_value(); });
        asked.get_future().wait();
        return fail(Status::internal, "Stopped");
    };
    const auto operation = start(body, /*may_cancel=*/true);
    auto c = client();
    EXPECT_EQ(c.request("DELETE", url(operation)).status, 200);
    EXPECT_EQ(c.request("GET", url(operation) + "/wait").json()["metadata"]["status_code"], 401);
    EXPECT_EQ(c.request("DELETE", url(operation)).status, 400);
    const auto go = std::make_shared<std::latch>(1);
    const auto stubborn = start_waiting(go);
    EXPECT_EQ(c.request("DELETE", url(stubborn)).status, 400);
    go->count_down();
}

TEST_F(OperationRoutesTest, EndedOperationsAreForgottenWithoutARequest) {
    auto expiry = std::make_unique<Expiry>(daemon_.io, daemon_.registry);
    const auto operation =
        start([](operations::Operation&, std::stop_token) -> Result<json> { return json(); });
    EXPECT_EQ(client().request("GET", url(operation) + "/wait").json()["metadata"]["status"], "Success");
    const auto next = daemon_.registry.expire();
    ASSERT_TRUE(next.has_value());
    const auto deadline = *next + std::chrono::seconds(30);  // the retention time is what is tested
    while (operation.use_count() > 1 && std::chrono::steady_clock::now() < deadline)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(operation.use_count(), 1);
    daemon_.on_io([&expiry] { expiry.reset(); });
}

TEST_F(OperationRoutesTest, UnknownOperationsAreNotFound) {
    auto c = client();
    for (const char* path :
         {"/1.0/operations/none", "/1.0/operations/none/wait", "/1.0/operations/none/websocket?secret=x"}) {
        EXPECT_EQ(c.request("GET", path).status, 404) << path;
    }
    EXPECT_EQ(c.request("DELETE", "/1.0/operations/none").status, 404);
}

TEST_F(OperationRoutesTest, EventsShowAnOperationInOrder) {
    auto events = client();
    ASSERT_TRUE(events.upgrade_to_websocket("/1.0/events?type=operation"));
    EXPECT_EQ(events.receive_frame().payload, "keepalive");
    for (int i = 0; i < 20; ++i) {
        const auto operation = start([](operations::Operation& self, std::stop_token) -> Result<json> {
            self.update_metadata({{"work_progress", "half"}});
            return json();
        });
        for (const int code : {105, 103, 103, 200}) {
            const auto frame = events.receive_message();
            ASSERT_EQ(frame.opcode, 1);
            const auto event = json::parse(frame.payload);
            EXPECT_EQ(event["type"], "operation");
            EXPECT_EQ(event["project"], "default");
            EXPECT_EQ(event["metadata"]["id"], operation->id());
            EXPECT_EQ(event["metadata"]["status_code"], code);
        }
    }
}

TEST_F(OperationRoutesTest, EventsAreFilteredByType) {
    auto events = client();
    ASSERT_TRUE(events.upgrade_to_websocket("/1.0/events?type=lifecycle,logging&all-projects=true"));
    const auto go = std::make_shared<std::latch>(0);
    start_waiting(go);
    events::publish_lifecycle(daemon_.hub, "instance-started", "/1.0/instances/x", "", "");
    json type;  // requests and operations are told to listeners of logging, too
    while ((type = json::parse(events.receive_message().payload)["type"]) == "logging") continue;
    EXPECT_EQ(type, "lifecycle");
    EXPECT_EQ(client().request("GET", "/1.0/events?type=nonsense").status, 400);
    EXPECT_EQ(client().request("GET", "/1.0/events?project=other").status, 404);
    EXPECT_EQ(client().request("GET", "/1.0/events").status, 400);
}

TEST_F(OperationRoutesTest, SubscriptionEndsWithTheClient) {
    {
        auto events = client();
        ASSERT_TRUE(events.upgrade_to_websocket("/1.0/events"));
        EXPECT_FALSE(daemon_.hub.idle(events::Kind::operation));
    }
    while (!daemon_.hub.idle(events::Kind::operation)) std::this_thread::yield();
}

TEST_F(OperationRoutesTest, ListenerThatDoesNotReadIsDropped) {
    auto events = client();
    ASSERT_TRUE(events.upgrade_to_websocket("/1.0/events"));
    const std::string big = "\"" + std::string(100000, 'x') + "\"";
    for (int i = 0; i < 2000 && !daemon_.hub.idle(events::Kind::logging); ++i) {
        daemon_.hub.publish(events::Kind::logging, "", big);
    }
    while (!daemon_.hub.idle(events::Kind::logging)) std::this_thread::yield();
    while (events.receive_message().opcode != -1) continue;
}

TEST_F(OperationRoutesTest, HundredListenersGetEveryEvent) {
    std::vector<Client> all;
    for (int i = 0; i < 100; ++i) {
        all.push_back(client());
        ASSERT_TRUE(all.back().upgrade_to_websocket("/1.0/events?type=lifecycle"));
    }
    for (int i = 0; i < 50; ++i) events::publish_lifecycle(daemon_.hub, std::to_string(i), "/", "", "");
    for (auto& listener : all) {
        for (int i = 0; i < 50; ++i) {
            ASSERT_EQ(json::parse(listener.receive_message().payload)["metadata"]["action"],
                      std::to_string(i));
        }
    }
}

}  // namespace
}  // namespace lxmgr::rest
