#include "lxd-daemon/database/projects.h"

#include <gmock/gmock.h>

#include "tests/unit/database/temp_database.h"

using namespace lxmgr;
using namespace lxmgr::database;
using testing::ElementsAre;
using testing::IsEmpty;

namespace {

class ProjectsTest : public DatabaseTest {
protected:
    ProjectPtr create(const std::string& name, api::ConfigMap config = {}) {
        auto made = db->projects().create({0, name, "", new_project_config(std::move(config))});
        EXPECT_TRUE(made);
        return made ? *made : nullptr;
    }
    Result<InstancePtr> instance(const std::string& key) {
        InstanceRecord record;
        record.name = key;
        return db->instances().create(record);
    }
};

}  // namespace

TEST_F(ProjectsTest, DefaultIsAlwaysThere) {
    for (int round = 0; round < 2; ++round) {
        ASSERT_NE(db->projects().find("default"), nullptr);
        EXPECT_EQ(db->projects().list().size(), 1U);
        EXPECT_EQ(db->projects().find("default")->config.at("features.networks"), "true");
        reopen();
    }
}

TEST_F(ProjectsTest, ComesWithAProfileOfItsOwn) {
    create("web");
    create("plain", {{"features.profiles", "false"}});
    for (int round = 0; round < 2; ++round) {
        EXPECT_NE(db->profiles().find("web/default"), nullptr);
        EXPECT_EQ(db->profiles().find("plain/default"), nullptr);
        EXPECT_EQ(db->projects().holder(Feature::profiles, "web"), "web");
        EXPECT_EQ(db->projects().holder(Feature::profiles, "plain"), "default");
        EXPECT_EQ(db->projects().holder(Feature::networks, "web"), "default");
        EXPECT_EQ(db->projects().holder(Feature::profiles, "gone"), "gone");
        reopen();
    }
    EXPECT_EQ(db->projects().create({0, "web", "", {}}).error().status, Status::conflict);
}

TEST_F(ProjectsTest, WhatIsInItKeepsIt) {
    const auto project = create("web");
    EXPECT_TRUE(db->projects().is_empty(*project));
    ASSERT_TRUE(instance("web_c1"));
    EXPECT_THAT(db->projects().used_by(*project),
                ElementsAre("/1.0/instances/c1?project=web", "/1.0/profiles/default?project=web"));
    EXPECT_FALSE(db->projects().remove("web"));
    EXPECT_FALSE(db->projects().rename("web", "site"));
    ProjectRecord next = *project;
    next.config["features.images"] = "false";
    EXPECT_EQ(db->projects().update(next).error().status, Status::bad_request);
    ASSERT_TRUE(db->instances().remove("web_c1"));
    EXPECT_TRUE(db->projects().update(next));
}

TEST_F(ProjectsTest, ProfileAndCertificatesFollow) {
    create("web");
    ASSERT_TRUE(db->certificates().create({"f1", "c", "client", true, {"web", "default"}, "pem", {}}));
    ASSERT_TRUE(db->projects().rename("web", "site"));
    EXPECT_NE(db->profiles().find("site/default"), nullptr);
    EXPECT_THAT(db->certificates().find("f1")->projects, ElementsAre("site", "default"));
    ASSERT_TRUE(db->projects().remove("site"));
    for (int round = 0; round < 2; ++round) {
        EXPECT_EQ(db->profiles().find("site/default"), nullptr);
        EXPECT_THAT(db->certificates().find("f1")->projects, ElementsAre("default"));
        reopen();
    }
}

TEST_F(ProjectsTest, NothingIsMadeInAProjectThatIsGone) {
    EXPECT_EQ(instance("gone_c1").error().status, Status::not_found);
    EXPECT_EQ(db->profiles().create({0, "gone/p", "", {}, {}}).error().status, Status::not_found);
    VolumeRecord volume;
    volume.pool = "default";
    volume.name = "gone/v";
    EXPECT_EQ(db->volumes().create(volume).error().status, Status::not_found);
}

TEST_F(ProjectsTest, AnImageMayBeInSeveral) {
    create("web");
    ImageRecord record;
    record.fingerprint = "abc";
    ASSERT_TRUE(db->images().create(record));
    EXPECT_FALSE(db->images().find_prefix("ab", "web"));
    ASSERT_TRUE(db->images().add_project("abc", "web"));
    ASSERT_TRUE(db->images().create_alias({0, "/web/one", "", "abc"}));
    ASSERT_TRUE(db->images().create_alias({0, "one", "", "abc"}));
    reopen();
    EXPECT_TRUE(db->images().find_prefix("ab", "web"));
    ASSERT_TRUE(db->images().leave_project("abc", "web"));
    for (int round = 0; round < 2; ++round) {
        EXPECT_FALSE(db->images().find_prefix("ab", "web"));
        EXPECT_TRUE(db->images().find_prefix("ab"));
        EXPECT_EQ(db->images().find_alias("/web/one"), nullptr);
        EXPECT_NE(db->images().find_alias("one"), nullptr);
        reopen();
    }
}
