#include "lxd-daemon/events/hub.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <vector>

namespace lxmgr::events {
namespace {

TEST(HubTest, IdleUntilSomebodyListensToTheKind) {
    Hub hub;
    EXPECT_TRUE(hub.idle(Kind::operation));
    std::optional<Hub::Subscription> subscription(
        hub.subscribe(static_cast<unsigned>(Kind::lifecycle), [](const Event&) {}));
    EXPECT_TRUE(hub.idle(Kind::operation));
    EXPECT_FALSE(hub.idle(Kind::lifecycle));
    subscription.reset();
    EXPECT_TRUE(hub.idle(Kind::lifecycle));
}

TEST(HubTest, ListenerGetsOnlyTheKindsItAskedFor) {
    Hub hub;
    std::vector<Kind> seen;
    const auto subscription =
        hub.subscribe(static_cast<unsigned>(Kind::operation) | static_cast<unsigned>(Kind::logging),
                      [&seen](const Event& event) { seen.push_back(event.kind); });
    hub.publish(Kind::operation, "default", "{}");
    hub.publish(Kind::lifecycle, "default", "{}");
    hub.publish(Kind::logging, "", "{}");
    EXPECT_EQ(seen, (std::vector{Kind::operation, Kind::logging}));
}

TEST(HubTest, FrameHasTheKeysOfTheWire) {
    Hub hub;
    std::string frame;
    const auto subscription = hub.subscribe(7, [&frame](const Event& event) { frame = *event.text; });
    publish_lifecycle(hub, "instance-started", "/1.0/instances/x", "", R"({"username":"root"})");
    const auto json = nlohmann::json::parse(frame);
    EXPECT_EQ(json["type"], "lifecycle");
    EXPECT_EQ(json["location"], "none");
    EXPECT_EQ(json["project"], "default");
    EXPECT_EQ(json["metadata"]["action"], "instance-started");
    EXPECT_EQ(json["metadata"]["source"], "/1.0/instances/x");
    EXPECT_EQ(json["metadata"]["requestor"]["username"], "root");
    EXPECT_FALSE(json["metadata"].contains("context"));
    EXPECT_TRUE(json["timestamp"].get<std::string>().ends_with("Z"));
}

TEST(HubTest, LoggingEventHasNoProjectAndKeepsHostileText) {
    Hub hub;
    std::string frame;
    const auto subscription = hub.subscribe(7, [&frame](const Event& event) { frame = *event.text; });
    const log::Field field{"name", "a\"b\n\xff"};
    publish_log_line(hub, log::Level::warn, "odd name", &field, 1);
    const auto json = nlohmann::json::parse(frame);
    EXPECT_EQ(json["type"], "logging");
    EXPECT_FALSE(json.contains("project"));
    EXPECT_EQ(json["metadata"]["level"], "warning");
    EXPECT_EQ(json["metadata"]["message"], "odd name");
    EXPECT_TRUE(json["metadata"]["context"]["name"].get<std::string>().starts_with("a\"b\n"));
}

TEST(HubTest, NoCallComesAfterTheSubscriptionEnded) {
    Hub hub;
    std::atomic<bool> stop{false};
    std::jthread publisher([&] {
        while (!stop) hub.publish(Kind::operation, "default", "{}");
    });
    for (int round = 0; round < 200; ++round) {
        auto target = std::make_unique<int>(0);
        const auto subscription = hub.subscribe(1, [&target](const Event&) { ++*target; });
        std::this_thread::yield();
    }
    stop = true;
}

TEST(HubTest, EachListenerSeesTheOrderOfPublishing) {
    Hub hub;
    std::vector<int> seen;
    const auto subscription = hub.subscribe(
        1, [&seen](const Event& event) { seen.push_back(nlohmann::json::parse(*event.text)["metadata"]); });
    std::mutex turn;
    int next = 0;
    auto publish = [&] {
        for (int i = 0; i < 200; ++i) {
            const std::lock_guard lock(turn);
            hub.publish(Kind::operation, "default", std::to_string(next++));
        }
    };
    {
        const std::jthread one(publish);
        const std::jthread two(publish);
    }
    ASSERT_EQ(seen.size(), 400U);
    EXPECT_TRUE(std::ranges::is_sorted(seen));
}

}  // namespace
TEST(HubTest, EndReleasesListenersThatOwnTheirSubscription) {
    Hub hub;
    struct Stream {
        std::optional<Hub::Subscription> subscription;
    };
    auto stream = std::make_shared<Stream>();
    const std::weak_ptr<Stream> seen = stream;
    stream->subscription.emplace(
        hub.subscribe(static_cast<unsigned>(Kind::lifecycle), [stream](const Event&) {}));
    stream.reset();
    EXPECT_FALSE(seen.expired());
    hub.end();
    EXPECT_TRUE(seen.expired());
    EXPECT_TRUE(hub.idle(Kind::lifecycle));
}

}  // namespace lxmgr::events
