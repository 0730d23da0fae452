#include "lxmgr/preseed.h"

#include <gtest/gtest.h>

namespace lxmgr::cli {
namespace {

using Json = nlohmann::json;

std::string why_not(const std::string& yaml) {
    const auto preseed = parse_preseed(yaml);
    return preseed ? "" : preseed.error().message;
}

TEST(PreseedTest, ReadsWhatLxdDumps) {
    const auto preseed = parse_preseed(R"(
config:
  images.auto_update_interval: 0
networks:
- config: {ipv4.address: 10.0.0.1/24, ipv4.nat: true}
  description: ""
  name: lxdbr0
  type: bridge
  project: default
storage_pools:
- config: {}
  name: default
  driver: dir
profiles:
- name: default
  config:
  devices:
    root: {path: /, pool: default, type: disk}
projects: []
cluster: null
)");
    ASSERT_TRUE(preseed) << preseed.error().message;
    EXPECT_EQ(preseed->config, (Json{{"images.auto_update_interval", "0"}}));
    ASSERT_EQ(preseed->networks.size(), 1U);
    EXPECT_EQ(preseed->networks[0]["config"]["ipv4.nat"], "true");
    EXPECT_FALSE(preseed->networks[0].contains("project"));
    EXPECT_EQ(preseed->pools[0]["driver"], "dir");
    EXPECT_EQ(preseed->profiles[0]["devices"]["root"]["path"], "/");
    EXPECT_EQ(preseed->profiles[0]["config"], Json::object());
}

TEST(PreseedTest, MistakesNameTheirPlace) {
    EXPECT_EQ(why_not("foo: 1"), "Preseed document: unknown key 'foo'");
    EXPECT_EQ(why_not("networks: [{name: a}, {name: b, colour: red}]"),
              "Preseed networks[1]: unknown key 'colour'");
    EXPECT_EQ(why_not("storage_pools: [{name: a}]"), "Preseed storage_pools[0]: 'driver' is missing");
    EXPECT_EQ(why_not("storage_pools: [{driver: dir, name: }]"),
              "Preseed storage_pools[0]: 'name' is missing");
    EXPECT_EQ(why_not("profiles: [{name: a, devices: {eth0: nic}}]"),
              "Preseed profiles[0]: 'devices' has the wrong form");
    EXPECT_EQ(why_not("profiles: [{name: a}, {name: a}]"), "Preseed profiles[1]: 'a' occurs twice");
    EXPECT_EQ(why_not("profiles: {name: a}"), "Preseed profiles: a list is expected");
    EXPECT_EQ(why_not("profiles: [a]"), "Preseed profiles[0]: a map with a name is expected");
    EXPECT_EQ(why_not("config: [a]"), "Preseed config: keys with plain values are expected");
    EXPECT_EQ(why_not("cluster: {enabled: true}"),
              "Preseed document: 'cluster' is not supported by this version");
    EXPECT_EQ(why_not("projects: [{name: other}]"),
              "Preseed document: 'projects' is not supported by this version");
    EXPECT_EQ(why_not("[]"), "Preseed document: a map is expected");
    EXPECT_EQ(why_not(""), "Preseed document: a map is expected");
}

TEST(MergedTest, ReplacesGivenKeysAndKeepsTheOthers) {
    const Json existing = {{"name", "n"},
                           {"description", "old"},
                           {"config", {{"a", "1"}, {"b", "2"}}},
                           {"devices", {{"root", {{"path", "/"}, {"pool", "x"}}}}},
                           {"used_by", Json::array()}};
    const Json wanted = {{"name", "n"},
                         {"config", {{"b", "3"}, {"c", "4"}}},
                         {"devices", {{"root", {{"pool", "y"}}}, {"eth0", {{"type", "nic"}}}}}};
    const Json result = merged(existing, wanted);
    EXPECT_EQ(result["config"], (Json{{"a", "1"}, {"b", "3"}, {"c", "4"}}));
    EXPECT_EQ(result["devices"]["root"], (Json{{"path", "/"}, {"pool", "y"}}));
    EXPECT_EQ(result["devices"]["eth0"], (Json{{"type", "nic"}}));
    EXPECT_EQ(result["description"], "old");
}

TEST(MergedTest, AutoKeepsAnAddressThatIsThere) {
    const Json existing = {{"config", {{"ipv4.address", "10.1.2.1/24"}}}};
    const Json wanted = {{"config", {{"ipv4.address", "auto"}, {"ipv6.address", "auto"}}}};
    EXPECT_EQ(merged(existing, wanted)["config"],
              (Json{{"ipv4.address", "10.1.2.1/24"}, {"ipv6.address", "auto"}}));
}

}  // namespace
}  // namespace lxmgr::cli
