#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/common.h"
#include "lxd-daemon/api/event.h"
#include "lxd-daemon/api/image.h"
#include "lxd-daemon/api/image_alias.h"
#include "lxd-daemon/api/network.h"
#include "lxd-daemon/api/profile.h"
#include "lxd-daemon/api/project.h"
#include "lxd-daemon/api/server.h"
#include "lxd-daemon/api/storage_pool.h"
#include "lxd-daemon/api/storage_volume.h"
#include "lxd-daemon/api/warning.h"

using namespace lxmgr;
using namespace lxmgr::api;
using nlohmann::json;
using testing::UnorderedElementsAre;

namespace {

std::vector<std::string> keys_of(const json& object) {
    std::vector<std::string> out;
    for (const auto& [key, value] : object.items()) out.push_back(key);
    return out;
}

}  // namespace

TEST(ProfileTest, KeepsLxdsShape) {
    Profile profile;
    profile.name = "p";
    const json object = to_json(profile);
    EXPECT_THAT(keys_of(object), UnorderedElementsAre("name", "description", "config", "devices", "used_by"));
    EXPECT_EQ(object["used_by"], json::array());
    EXPECT_EQ(object["config"], json::object());
}

TEST(ProfileTest, NullMapsAreEmpty) {
    const auto post = parse_profiles_post(json::parse(R"({"name":"p","config":null,"devices":null})"));
    ASSERT_TRUE(post);
    EXPECT_TRUE(post->fields.config.empty());
    EXPECT_FALSE(parse_profiles_post(json::parse(R"({"config":{}})")));
    EXPECT_FALSE(parse_profiles_post(json::parse(R"({"name":"p","config":{"a":true}})")));
}

TEST(ProfileTest, PatchMerges) {
    ProfilePut current{"d", {{"a", "1"}, {"b", "2"}}, {{"x", {{"type", "none"}}}}};
    const auto patched =
        patch_profile(json::parse(R"({"config":{"a":"","c":"3"},"devices":{"y":{"type":"none"}}})"), current);
    ASSERT_TRUE(patched);
    EXPECT_EQ(patched->description, "d");
    EXPECT_EQ(patched->config, (ConfigMap{{"b", "2"}, {"c", "3"}}));
    EXPECT_EQ(patched->devices.size(), 2U);
}

TEST(ImageTest, KeepsLxdsShape) {
    Image image;
    image.aliases = {{"a", "d"}};
    const json object = to_json(image);
    EXPECT_THAT(keys_of(object),
                UnorderedElementsAre("auto_update", "properties", "public", "expires_at", "profiles",
                                     "aliases", "architecture", "cached", "filename", "fingerprint", "size",
                                     "type", "created_at", "last_used_at", "uploaded_at"));
    EXPECT_EQ(object["aliases"][0]["description"], "d");
    EXPECT_EQ(object["expires_at"], "0001-01-01T00:00:00Z");
}

TEST(ImageTest, PutReplacesAndPatchMerges) {
    const auto put = parse_image_put(
        json::parse(R"({"public":true,"properties":{"os":"x"},"expires_at":"2030-01-01T00:00:00Z"})"));
    ASSERT_TRUE(put);
    EXPECT_TRUE(put->is_public);
    EXPECT_NE(put->expires_at, Time{});
    const auto patched = patch_image(json::parse(R"({"properties":{"release":"12"}})"), *put);
    ASSERT_TRUE(patched);
    EXPECT_EQ(patched->properties, (ConfigMap{{"os", "x"}, {"release", "12"}}));
    EXPECT_TRUE(patched->is_public);
    EXPECT_FALSE(parse_image_put(json::parse(R"({"expires_at":"soon"})")));
    EXPECT_EQ(parse_images_post(json::parse(R"({"source":{"type":"url"}})"))->source.type, "url");
}

TEST(ImageAliasTest, NeedsNameAndTarget) {
    const auto alias =
        parse_aliases_post(json::parse(R"({"name":"a","target":"f","description":"","type":""})"));
    ASSERT_TRUE(alias);
    EXPECT_EQ(alias->type, "container");
    EXPECT_FALSE(parse_aliases_post(json::parse(R"({"name":"a"})")));
    EXPECT_FALSE(parse_aliases_post(json::parse(R"({"target":"a"})")));
    EXPECT_EQ(parse_alias_put(json::parse(R"({"description":"new"})"), *alias)->target, "f");
    EXPECT_EQ(parse_rename(json::parse(R"({"name":"b"})")).value(), "b");
    EXPECT_FALSE(parse_rename(json::parse(R"({})")));
}

TEST(NetworkTest, ManagedAndUnmanagedLookAsInLxd) {
    Network network;
    network.managed = true;
    const json managed = to_json(network);
    EXPECT_THAT(keys_of(managed), UnorderedElementsAre("config", "description", "name", "type", "used_by",
                                                       "managed", "status", "locations"));
    EXPECT_EQ(managed["status"], "Created");
    network.managed = false;
    EXPECT_EQ(to_json(network)["status"], "");
    EXPECT_TRUE(to_json(network)["locations"].is_null());
    EXPECT_EQ(to_json(NetworkLease{"h", "m", "a", "dynamic"})["location"], "none");
    EXPECT_EQ(to_json(NetworkState{})["counters"].size(), 4U);
}

TEST(StoragePoolTest, KeepsLxdsShape) {
    EXPECT_THAT(
        keys_of(to_json(StoragePool{})),
        UnorderedElementsAre("config", "description", "name", "driver", "used_by", "status", "locations"));
    EXPECT_EQ(to_json(StoragePoolResources{1, 2, 3, 4})["inodes"]["total"], 4);
    EXPECT_FALSE(parse_storage_pools_post(json::parse(R"({"name":"p"})")));
    EXPECT_TRUE(parse_storage_pools_post(json::parse(R"({"name":"p","driver":"dir"})")));
}

TEST(StorageVolumeTest, KeepsLxdsShape) {
    EXPECT_THAT(keys_of(to_json(StorageVolume{})),
                UnorderedElementsAre("config", "description", "name", "type", "used_by", "location",
                                     "content_type", "project", "created_at"));
}

TEST(WarningTest, TakesTwoStates) {
    EXPECT_EQ(*parse_warning_put(json::parse(R"({"status":"acknowledged"})")), "acknowledged");
    EXPECT_FALSE(parse_warning_put(json::parse(R"({"status":"resolved"})")));
    EXPECT_FALSE(parse_warning_put(json::parse(R"({})")));
    EXPECT_EQ(to_json(Warning{}).size(), 11U);
}

TEST(ServerTest, ConfigValuesAreStrings) {
    EXPECT_FALSE(parse_server_put(json::parse(R"({"config":{"core.trust_password":true}})")));
    EXPECT_EQ(*parse_server_put(json::parse(R"({"config":{"user.a":"1","user.b":""}})")),
              (ConfigMap{{"user.a", "1"}}));
    EXPECT_EQ(*patch_server(json::parse(R"({"config":{"user.b":"2"}})"), {{"user.a", "1"}}),
              (ConfigMap{{"user.a", "1"}, {"user.b", "2"}}));
}

TEST(LifecycleTest, CarriesContextAndRequestor) {
    const Lifecycle lifecycle{"profile-created", "/1.0/profiles/p", R"({"username":"root"})"};
    const json full = json::parse(to_json_text(lifecycle, {{"new_name", "x"}}));
    EXPECT_EQ(full["requestor"]["username"], "root");
    EXPECT_EQ(full["context"]["new_name"], "x");
    EXPECT_EQ(json::parse(to_json_text({"a", "b", ""}, nullptr)).size(), 2U);
}
