#include <gmock/gmock.h>

#include <thread>

#include "tests/unit/database/temp_database.h"

using namespace lxmgr;
using namespace lxmgr::database;
using testing::ElementsAre;

namespace {

InstanceRecord sample(const std::string& name) {
    InstanceRecord record;
    record.name = name;
    record.description = "tëst \"quoted\"\n";
    record.architecture = "x86_64";
    record.config = {{"user.a", "1"}, {"volatile.uuid", "u"}};
    record.devices = {{"root", {{"type", "disk"}, {"path", "/"}, {"pool", "default"}}}};
    record.profiles = {"default"};
    record.created_at = Time(std::chrono::nanoseconds(1234567890123456789));
    return record;
}

class InstancesTest : public DatabaseTest {};

}  // namespace

TEST_F(InstancesTest, KeepsEveryFieldOverAReopen) {
    ASSERT_TRUE(db->profiles().create({0, "p2", "", {}, {}}));
    InstanceRecord record = sample("web");
    record.profiles = {"p2", "default"};
    record.ephemeral = true;
    const auto created = db->instances().create(record);
    ASSERT_TRUE(created) << message_of(created);
    EXPECT_GT((*created)->id, 0);
    reopen();
    const auto found = db->instances().find("web");
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->description, record.description);
    EXPECT_EQ(found->architecture, record.architecture);
    EXPECT_EQ(found->config, record.config);
    EXPECT_EQ(found->devices, record.devices);
    EXPECT_THAT(found->profiles, ElementsAre("p2", "default"));
    EXPECT_EQ(found->created_at, record.created_at);
    EXPECT_TRUE(found->ephemeral);
}

TEST_F(InstancesTest, RefusesASecondOneOfTheSameName) {
    ASSERT_TRUE(db->instances().create(sample("web")));
    const auto again = db->instances().create(sample("web"));
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().status, Status::conflict);
    EXPECT_EQ(again.error().message, "Instance 'web' already exists");
}

TEST_F(InstancesTest, RefusesUnknownAndRepeatedProfilesAndStoresNothing) {
    InstanceRecord record = sample("web");
    record.profiles = {"absent"};
    EXPECT_EQ(message_of(db->instances().create(record)), "Requested profile 'absent' doesn't exist");
    record.profiles = {"default", "default"};
    EXPECT_EQ(message_of(db->instances().create(record)), "Profile 'default' is given twice");
    EXPECT_EQ(db->instances().find("web"), nullptr);
    reopen();
    EXPECT_TRUE(db->instances().list().empty());
}

TEST_F(InstancesTest, UpdateKeepsIdAndCreationTime) {
    const auto first = *db->instances().create(sample("web"));
    InstanceRecord next = *first;
    next.created_at = {};
    next.description = "new";
    next.profiles = {};
    const auto updated = db->instances().update(next);
    ASSERT_TRUE(updated);
    EXPECT_EQ((*updated)->id, first->id);
    EXPECT_EQ((*updated)->created_at, first->created_at);
    EXPECT_TRUE((*updated)->profiles.empty());
    EXPECT_EQ(first->description, sample("web").description);  // records never change
}

TEST_F(InstancesTest, UpdateOfARecreatedInstanceIsRefused) {
    const auto old = *db->instances().create(sample("web"));
    ASSERT_TRUE(db->instances().remove("web"));
    ASSERT_TRUE(db->instances().create(sample("web")));
    const auto updated = db->instances().update(*old);
    ASSERT_FALSE(updated);
    EXPECT_EQ(updated.error().status, Status::not_found);
}

TEST_F(InstancesTest, ChangesSingleKeysAndLastUse) {
    ASSERT_TRUE(db->instances().create(sample("web")));
    const Time used = now();
    ASSERT_TRUE(db->instances().change_config(
        "web", {{"volatile.last_state.power", "RUNNING"}, {"user.a", std::nullopt}}, false, used));
    reopen();
    const auto found = db->instances().find("web");
    EXPECT_EQ(found->config,
              (api::ConfigMap{{"volatile.last_state.power", "RUNNING"}, {"volatile.uuid", "u"}}));
    EXPECT_EQ(found->last_used_at, used);
}

TEST_F(InstancesTest, RenamesToAFreeNameOnly) {
    ASSERT_TRUE(db->instances().create(sample("a")));
    ASSERT_TRUE(db->instances().create(sample("b")));
    EXPECT_EQ(db->instances().rename("a", "b").error().status, Status::conflict);
    EXPECT_EQ(db->instances().rename("x", "y").error().status, Status::not_found);
    ASSERT_TRUE(db->instances().rename("a", "c"));
    EXPECT_EQ(db->instances().find("a"), nullptr);
    reopen();
    ASSERT_EQ(db->instances().list().size(), 2U);
    EXPECT_EQ(db->instances().list()[1]->name, "c");
}

TEST_F(InstancesTest, RemoveTakesItAwayOnce) {
    ASSERT_TRUE(db->instances().create(sample("a")));
    ASSERT_TRUE(db->instances().remove("a"));
    EXPECT_EQ(db->instances().remove("a").error().status, Status::not_found);
    reopen();
    EXPECT_TRUE(db->instances().list().empty());
}

TEST_F(InstancesTest, GenerationGrowsWithEveryChange) {
    const auto before = db->instances().generation();
    ASSERT_TRUE(db->instances().create(sample("a")));
    const auto created = db->instances().generation();
    EXPECT_GT(created, before);
    ASSERT_TRUE(db->instances().change_config("a", {{"user.x", "y"}}, false));
    EXPECT_GT(db->instances().generation(), created);
}

TEST_F(InstancesTest, ParallelChangesAreNotLost) {
    ASSERT_TRUE(db->instances().create(sample("a")));
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([this, t] {
            for (int i = 0; i < 25; ++i) {
                const std::string key = "user." + std::to_string(t) + "." + std::to_string(i);
                EXPECT_TRUE(db->instances().change_config("a", {{key, "v"}}, false));
                EXPECT_NE(db->instances().find("a"), nullptr);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(db->instances().find("a")->config.size(), 102U);
}
