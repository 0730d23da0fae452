#include <gmock/gmock.h>

#include "tests/unit/database/temp_database.h"

using namespace lxmgr;
using namespace lxmgr::database;
using testing::ElementsAre;

namespace {

class SnapshotsTest : public DatabaseTest {
protected:
    std::int64_t add_instance(const std::string& name) {
        InstanceRecord record;
        record.name = name;
        record.profiles = {"default"};
        const auto created = db->instances().create(record);
        EXPECT_TRUE(created) << message_of(created);
        return created ? (*created)->id : 0;
    }
    void add(std::int64_t instance, const std::string& name, const std::string& volume, int seconds = 0) {
        SnapshotRecord record;
        record.instance_id = instance;
        record.name = name;
        record.volume = volume;
        record.config = {{"user.a", "1"}};
        record.profiles = {"default"};
        record.created_at = Time(std::chrono::seconds(seconds));
        const auto created = db->snapshots().create(record);
        EXPECT_TRUE(created) << message_of(created);
    }
    std::vector<std::string> names(std::int64_t instance) {
        std::vector<std::string> out;
        for (const auto& snapshot : db->snapshots().list(instance)) out.push_back(snapshot->name);
        return out;
    }
};

}  // namespace

TEST_F(SnapshotsTest, BelongToTheirInstanceThroughRenamesAndReopens) {
    const auto one = add_instance("one"), two = add_instance("two");
    add(one, "b", "v1", 1);
    add(one, "a", "v2", 2);
    add(two, "a", "v3");
    ASSERT_TRUE(db->instances().rename("one", "other"));
    ASSERT_TRUE(db->snapshots().rename(one, "b", "c"));
    reopen();
    EXPECT_THAT(names(one), ElementsAre("c", "a"));
    EXPECT_THAT(names(two), ElementsAre("a"));
    const auto found = db->snapshots().find(one, "c");
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->volume, "v1");
    EXPECT_EQ(found->config.at("user.a"), "1");
    EXPECT_THAT(found->profiles, ElementsAre("default"));
}

TEST_F(SnapshotsTest, GoWithTheirInstance) {
    const auto one = add_instance("one"), two = add_instance("two");
    add(one, "a", "v1");
    add(two, "a", "v2");
    ASSERT_TRUE(db->instances().remove("one"));
    EXPECT_TRUE(names(one).empty());
    EXPECT_EQ(db->snapshots().list_all().size(), 1U);
    reopen();
    EXPECT_EQ(db->snapshots().list_all().size(), 1U);
}

TEST_F(SnapshotsTest, ATakenNameIsAConflict) {
    const auto one = add_instance("one");
    add(one, "a", "v1");
    add(one, "b", "v2");
    EXPECT_EQ(db->snapshots().rename(one, "b", "a").error().status, Status::conflict);
    SnapshotRecord again;
    again.instance_id = one;
    again.name = "a";
    again.volume = "v3";
    EXPECT_EQ(db->snapshots().create(again).error().status, Status::conflict);
}

TEST_F(SnapshotsTest, ProfilesFollowRenamesAndDeletions) {
    const auto one = add_instance("one");
    ASSERT_TRUE(db->profiles().create({0, "p", "", {}, {}}));
    SnapshotRecord record;
    record.instance_id = one;
    record.name = "a";
    record.volume = "v";
    record.profiles = {"p", "default"};
    ASSERT_TRUE(db->snapshots().create(record));
    ASSERT_TRUE(db->profiles().rename("p", "q"));
    EXPECT_THAT(db->snapshots().find(one, "a")->profiles, ElementsAre("q", "default"));
    ASSERT_TRUE(db->profiles().remove("q"));
    EXPECT_THAT(db->snapshots().find(one, "a")->profiles, ElementsAre("default"));
    reopen();
    EXPECT_THAT(db->snapshots().find(one, "a")->profiles, ElementsAre("default"));
}
