#include "tests/unit/rest/entity_fixture.h"

using namespace lxmgr;
using testing::ElementsAre;
using testing::HasSubstr;

namespace {
class ProfileRoutesTest : public rest::testing_support::EntityRoutesTest {};
}  // namespace

TEST_F(ProfileRoutesTest, CreatesShowsAndDeletes) {
    const auto made = call("POST", "/1.0/profiles",
                           R"({"name":"p","config":{"limits.cpu":"2"},"description":"d","devices":null})");
    EXPECT_EQ(made.status, 201) << made.body;
    EXPECT_EQ(made.header("location"), "/1.0/profiles/p");
    EXPECT_TRUE(made.json()["metadata"].is_null());
    EXPECT_THAT(metadata("/1.0/profiles"), ElementsAre("/1.0/profiles/default", "/1.0/profiles/p"));
    const auto shown = metadata("/1.0/profiles/p");
    EXPECT_EQ(shown["config"]["limits.cpu"], "2");
    EXPECT_EQ(shown["used_by"], nlohmann::json::array());
    EXPECT_EQ(metadata("/1.0/profiles?recursion=1").size(), 2U);
    EXPECT_EQ(metadata("/1.0/profiles?recursion=1&filter=name%20eq%20p").size(), 1U);
    EXPECT_EQ(call("DELETE", "/1.0/profiles/p").status, 200);
    EXPECT_EQ(get("/1.0/profiles/p").status, 404);
    EXPECT_EQ(call("DELETE", "/1.0/profiles/p").status, 404);
}

TEST_F(ProfileRoutesTest, RefusesWhatIsWrongBeforeStoringAnything) {
    EXPECT_EQ(call("POST", "/1.0/profiles", R"({"name":"default"})").status, 409);
    EXPECT_EQ(call("POST", "/1.0/profiles", R"({"name":"a/b"})").status, 400);
    EXPECT_EQ(call("POST", "/1.0/profiles", R"({})").status, 400);
    EXPECT_EQ(call("POST", "/1.0/profiles", R"({"name":"p","config":{"bogus":"1"}})").status, 400);
    EXPECT_EQ(call("POST", "/1.0/profiles", R"({"name":"p","config":{"volatile.uuid":"1"}})").status, 400);
    const auto typed = call("POST", "/1.0/profiles", R"({"name":"p","config":{"limits.cpu":2}})");
    EXPECT_EQ(typed.status, 400);
    EXPECT_THAT(typed.body, HasSubstr("config.limits.cpu"));
    EXPECT_EQ(call("POST", "/1.0/profiles", R"({"name":"p","devices":{"x":{"type":"bogus"}}})").status, 400);
    EXPECT_EQ(call("POST", "/1.0/profiles?project=other", R"({"name":"p"})").status, 404);
    EXPECT_EQ(db().profiles().list().size(), 1U);
}

TEST_F(ProfileRoutesTest, TheDefaultProfileStays) {
    EXPECT_EQ(call("DELETE", "/1.0/profiles/default").status, 403);
    EXPECT_EQ(call("POST", "/1.0/profiles/default", R"({"name":"other"})").status, 403);
}

TEST_F(ProfileRoutesTest, OneInUseIsShownSoAndKept) {
    ASSERT_TRUE(db().profiles().create({0, "p", "", {}, {}}));
    database::InstanceRecord instance;
    instance.name = "web";
    instance.profiles = {"p"};
    ASSERT_TRUE(db().instances().create(instance));
    EXPECT_THAT(metadata("/1.0/profiles/p")["used_by"], ElementsAre("/1.0/instances/web"));
    const auto refused = call("DELETE", "/1.0/profiles/p");
    EXPECT_EQ(refused.status, 400);
    EXPECT_THAT(refused.body, HasSubstr("Profile is currently in use"));
    EXPECT_EQ(call("POST", "/1.0/profiles/p", R"({"name":"q"})").status, 201);
    EXPECT_THAT(db().instances().find("web")->profiles, ElementsAre("q"));
}

TEST_F(ProfileRoutesTest, AStaleEtagIsRefused) {
    const auto etag = get("/1.0/profiles/default").header("etag");
    EXPECT_EQ(etag.size(), 66U);  // quoted SHA-256
    const auto refused = call("PUT", "/1.0/profiles/default", "{}", "If-Match: \"bogus\"\r\n");
    EXPECT_EQ(refused.status, 412) << refused.body;
    EXPECT_EQ(call("PATCH", "/1.0/profiles/default", "{}", "If-Match: \"bogus\"\r\n").status, 412);
}

TEST_F(ProfileRoutesTest, RenamingKeepsNamesApart) {
    ASSERT_TRUE(db().profiles().create({0, "a", "", {}, {}}));
    ASSERT_TRUE(db().profiles().create({0, "b", "", {}, {}}));
    EXPECT_EQ(call("POST", "/1.0/profiles/a", R"({"name":"b"})").status, 409);
    EXPECT_EQ(call("POST", "/1.0/profiles/a", R"({"name":""})").status, 400);
    EXPECT_EQ(call("POST", "/1.0/profiles/a", R"({"name":"x y"})").status, 400);
    const auto renamed = call("POST", "/1.0/profiles/a", R"({"name":"c"})");
    EXPECT_EQ(renamed.header("location"), "/1.0/profiles/c");
}
