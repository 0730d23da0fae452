#include "tests/unit/rest/entity_fixture.h"

using namespace lxmgr;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

namespace {
class StorageRoutesTest : public rest::testing_support::EntityRoutesTest {
protected:
    void make_pool() {
        const auto made = call("POST", "/1.0/storage-pools",
                               R"({"name":"p","driver":"dir","config":{},"description":"d"})");
        ASSERT_EQ(made.status, 201) << made.body;
        EXPECT_EQ(made.header("location"), "/1.0/storage-pools/p");
    }
    void store_instance() {
        database::InstanceRecord instance;
        instance.name = "web";
        instance.pool = "p";
        ASSERT_TRUE(db().instances().create(instance));
    }
};
class OtherRoutesTest : public rest::testing_support::EntityRoutesTest {};
}  // namespace

TEST_F(StorageRoutesTest, PoolsAreCreatedShownChangedAndDeleted) {
    make_pool();
    EXPECT_EQ(call("POST", "/1.0/storage-pools", R"({"name":"p","driver":"dir"})").status, 409);
    EXPECT_THAT(metadata("/1.0/storage-pools"), ElementsAre("/1.0/storage-pools/p"));
    const auto shown = metadata("/1.0/storage-pools/p");
    EXPECT_EQ(shown["driver"], "dir");
    EXPECT_EQ(shown["status"], "Created");
    EXPECT_THAT(shown["used_by"], IsEmpty());
    EXPECT_EQ(call("PUT", "/1.0/storage-pools/p", R"({"description":"new","config":{"user.a":"b"}})").status,
              200);
    EXPECT_EQ(call("PATCH", "/1.0/storage-pools/p", R"({"config":{"user.c":"d"}})").status, 200);
    EXPECT_EQ(metadata("/1.0/storage-pools/p")["config"], (nlohmann::json{{"user.a", "b"}, {"user.c", "d"}}));
    EXPECT_GT(metadata("/1.0/storage-pools/p/resources")["space"]["total"], 0);
    EXPECT_EQ(call("DELETE", "/1.0/storage-pools/p").status, 200);
    EXPECT_EQ(get("/1.0/storage-pools/p").status, 404);
}

TEST_F(StorageRoutesTest, BadPoolsAreRefused) {
    EXPECT_EQ(call("POST", "/1.0/storage-pools", R"({"name":"p"})").status, 400);
    EXPECT_EQ(call("POST", "/1.0/storage-pools", R"({"name":"p","driver":"floppy"})").status, 400);
    EXPECT_EQ(call("POST", "/1.0/storage-pools", R"({"name":"../x","driver":"dir"})").status, 400);
    EXPECT_EQ(
        call("POST", "/1.0/storage-pools", R"({"name":"p","driver":"dir","config":{"bogus":"1"}})").status,
        400);
    EXPECT_THAT(metadata("/1.0/storage-pools"), IsEmpty());
}

TEST_F(StorageRoutesTest, APoolInUseStays) {
    make_pool();
    store_instance();
    EXPECT_THAT(metadata("/1.0/storage-pools/p")["used_by"], Contains("/1.0/instances/web"));
    const auto refused = call("DELETE", "/1.0/storage-pools/p");
    EXPECT_EQ(refused.status, 400);
    EXPECT_THAT(refused.body, HasSubstr("in use"));
}

TEST_F(StorageRoutesTest, VolumesAreThoseOfInstancesAndImages) {
    make_pool();
    store_instance();
    EXPECT_THAT(metadata("/1.0/storage-pools/p/volumes"),
                ElementsAre("/1.0/storage-pools/p/volumes/container/web"));
    EXPECT_THAT(metadata("/1.0/storage-pools/p/volumes/custom"), IsEmpty());
    EXPECT_EQ(get("/1.0/storage-pools/p/volumes/bogus").status, 400);
    EXPECT_EQ(get("/1.0/storage-pools/absent/volumes").status, 404);
    const auto volume = metadata("/1.0/storage-pools/p/volumes/container/web");
    EXPECT_THAT(volume["used_by"], ElementsAre("/1.0/instances/web"));
    EXPECT_EQ(volume["content_type"], "filesystem");
    EXPECT_EQ(get("/1.0/storage-pools/p/volumes/container/absent").status, 404);
    EXPECT_EQ(get("/1.0/storage-pools/p/volumes/image/web").status, 404);
    EXPECT_EQ(metadata("/1.0/storage-pools/p/volumes?recursion=1&filter=type%20eq%20image").size(), 0U);
}

TEST_F(OtherRoutesTest, ProjectsAreMadeAndDeleted) {
    EXPECT_THAT(metadata("/1.0/projects"), ElementsAre("/1.0/projects/default"));
    EXPECT_EQ(metadata("/1.0/projects/default")["config"]["features.images"], "true");
    EXPECT_THAT(metadata("/1.0/projects/default")["used_by"], Contains("/1.0/profiles/default"));
    EXPECT_EQ(get("/1.0/projects/other").status, 404);
    EXPECT_EQ(call("POST", "/1.0/projects", R"({"name":"a_b"})").status, 400);
    EXPECT_EQ(call("POST", "/1.0/projects", R"({"name":"other"})").status, 201);
    EXPECT_EQ(call("POST", "/1.0/projects", R"({"name":"other"})").status, 409);
    EXPECT_THAT(metadata("/1.0/profiles?project=other"), ElementsAre("/1.0/profiles/default?project=other"));
    EXPECT_EQ(metadata("/1.0/profiles/default?project=other")["name"], "default");
    EXPECT_EQ(get("/1.0/profiles?project=nowhere").status, 404);
    EXPECT_EQ(call("DELETE", "/1.0/projects/other", "").status, 200);
    EXPECT_EQ(call("DELETE", "/1.0/projects/default", "").status, 403);
}

TEST_F(OtherRoutesTest, ThereAreNoCertificates) {
    EXPECT_THAT(metadata("/1.0/certificates?recursion=1"), IsEmpty());
    EXPECT_EQ(get("/1.0/certificates/abc").status, 404);
}

TEST_F(OtherRoutesTest, WarningsAreAcknowledgedAndDeleted) {
    ASSERT_TRUE(db().warnings().raise("Broken", 3, "/1.0/networks/x", "it broke"));
    const auto warning = metadata("/1.0/warnings?recursion=1")[0];
    EXPECT_EQ(warning["severity"], "high");
    EXPECT_EQ(warning["status"], "new");
    const std::string url = "/1.0/warnings/" + warning["uuid"].get<std::string>();
    EXPECT_THAT(metadata("/1.0/warnings"), ElementsAre(url));
    EXPECT_EQ(call("PUT", url, R"({"status":"resolved"})").status, 400);
    EXPECT_EQ(call("PUT", url, R"({"status":"acknowledged"})").status, 200);
    EXPECT_EQ(metadata(url)["status"], "acknowledged");
    EXPECT_EQ(call("DELETE", url).status, 200);
    EXPECT_EQ(get(url).status, 404);
    EXPECT_EQ(call("DELETE", url).status, 404);
}

TEST_F(OtherRoutesTest, InterfacesOfTheHostAreUnmanagedNetworks) {
    EXPECT_THAT(metadata("/1.0/networks"), Contains("/1.0/networks/lo"));
    const auto lo = metadata("/1.0/networks/lo");
    EXPECT_EQ(lo["type"], "loopback");
    EXPECT_EQ(lo["managed"], false);
    EXPECT_EQ(metadata("/1.0/networks/lo/state")["state"], "up");
    EXPECT_EQ(get("/1.0/networks/absent0").status, 404);
    EXPECT_EQ(get("/1.0/networks/absent0/state").status, 404);
    EXPECT_EQ(get("/1.0/networks/lo/leases").status, 404);
    EXPECT_EQ(call("PUT", "/1.0/networks/lo", "{}").status, 404);
    EXPECT_EQ(call("DELETE", "/1.0/networks/lo").status, 404);
}

TEST_F(OtherRoutesTest, BadNetworksAreRefused) {
    EXPECT_EQ(call("POST", "/1.0/networks", R"({"name":"n0","type":"ovn"})").status, 400);
    EXPECT_EQ(call("POST", "/1.0/networks", R"({"name":""})").status, 400);
    EXPECT_EQ(call("POST", "/1.0/networks", R"({"name":"lo"})").status, 400);
    EXPECT_EQ(call("POST", "/1.0/networks", R"({"name":"a name that is too long"})").status, 400);
    EXPECT_EQ(call("POST", "/1.0/networks", R"({"name":"n0","config":{"bogus":"1"}})").status, 400);
    EXPECT_TRUE(db().networks().list().empty());
}
