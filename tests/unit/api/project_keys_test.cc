#include "lxd-daemon/api/project_keys.h"

#include <gmock/gmock.h>

using namespace lxmgr::api;
using testing::ElementsAre;

TEST(ProjectKeysTest, KeysGoThereAndBack) {
    for (const std::string project : {"default", "web", "a-1"}) {
        EXPECT_EQ(split_instance_key(instance_key(project, "c1")), (ProjectName{project, "c1"}));
        EXPECT_EQ(split_object_key(object_key(project, "my_vol")), (ProjectName{project, "my_vol"}));
        EXPECT_EQ(split_alias_key(alias_key(project, "debian/12")), (ProjectName{project, "debian/12"}));
        EXPECT_TRUE(is_of_project(instance_key(project, "c1"), project));
        EXPECT_FALSE(is_of_project(instance_key(project, "c1"), "other"));
        EXPECT_EQ(instance_name(instance_key(project, "c1")), "c1");
    }
}

TEST(ProjectKeysTest, HoldersHaveNamesWithinTheirProjectOnly) {
    EXPECT_EQ(named_to("c1", "c2"), "instance 'c2'");
    EXPECT_EQ(named_to("p_c1", "p_c2"), "instance 'p_c2'");
    EXPECT_EQ(named_to("c1", "p_c2"), "an instance of another project");
    EXPECT_EQ(named_to("p_c1", "c2"), "an instance of another project");
}

TEST(ProjectKeysTest, ObjectsOfDefaultKeepTheirNames) {
    EXPECT_EQ(instance_key("default", "c1"), "c1");
    EXPECT_EQ(object_key("default", "web"), "web");
    EXPECT_EQ(alias_key("default", "debian/12"), "debian/12");
    EXPECT_EQ(instance_key("web", "c1"), "web_c1");
    EXPECT_EQ(object_key("web", "small"), "web/small");
    EXPECT_EQ(alias_key("web", "debian/12"), "/web/debian/12");
}

TEST(ProjectKeysTest, NamesThatLookLikeKeysReachNothing) {
    for (const std::string project : {"default", "web"}) {
        EXPECT_EQ(split_instance_key(instance_key(project, "other_c1")).project, "");
        EXPECT_EQ(split_object_key(object_key(project, "other/v")).project, "");
        EXPECT_EQ(split_alias_key(alias_key(project, "/other/a")).project, "");
    }
}

TEST(ProjectUrlTest, KeysBecomeNames) {
    const auto is = [](const char* url, const char* project, const char* shown) {
        const auto split = split_url(url);
        EXPECT_EQ(split.project, project) << url;
        EXPECT_EQ(split.url, shown) << url;
        EXPECT_EQ(public_url(shown), shown) << "once more";
        EXPECT_EQ(split_url(shown).project, project) << shown;
    };
    is("/1.0/instances/c1", "default", "/1.0/instances/c1");
    is("/1.0/instances/web_c1", "web", "/1.0/instances/c1?project=web");
    is("/1.0/containers/web_c1/snapshots/a_b", "web", "/1.0/containers/c1/snapshots/a_b?project=web");
    is("/1.0/instances/c1/snapshots/a_b", "default", "/1.0/instances/c1/snapshots/a_b");
    is("/1.0/profiles/web%2Fsmall", "web", "/1.0/profiles/small?project=web");
    is("/1.0/profiles/a_b", "default", "/1.0/profiles/a_b");
    is("/1.0/storage-pools/p/volumes/custom/web%2Fv/snapshots/s", "web",
       "/1.0/storage-pools/p/volumes/custom/v/snapshots/s?project=web");
    is("/1.0/storage-pools/p/volumes/container/web_c1", "web",
       "/1.0/storage-pools/p/volumes/container/c1?project=web");
    is("/1.0/storage-pools/p/volumes/custom/a_b", "default", "/1.0/storage-pools/p/volumes/custom/a_b");
    is("/1.0/networks/a_b", "default", "/1.0/networks/a_b");
}

TEST(ProjectUrlTest, ErrorsNameObjectsAsClientsDo) {
    EXPECT_EQ(with_plain_names("Instance \"web_c1\" and 'web/small' at '/web/web_c1'", "web"),
              "Instance \"c1\" and 'small' at '/web/web_c1'");
    EXPECT_EQ(with_plain_names("Instance 'web_c1'", "default"), "Instance 'web_c1'");
}
