#include "lxmgr/yaml.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace lxmgr::cli {
namespace {

using Json = nlohmann::json;

Json round_trip(const Json& value) {
    const auto back = from_yaml(to_yaml(value));
    return back ? *back : Json("error: " + back.error().message);
}

TEST(YamlTest, StringsStayStrings) {
    for (const char* text : {"true",     "no",      "Off",         "null",   "~",
                             "",         "12",      "1.5",         "0x1f",   "1e3",
                             "0777",     "-",       "- a",         "a: b",   "#c",
                             "a #b",     "  lead",  "trail ",      "'q'",    "\"q\"",
                             "@x",       "{a}",     "[a]",         "&a",     "*a",
                             "!t",       "%d",      "|",           ">",      "2026-11-21",
                             "1:20:30",  "x86_64",  "yes",         ".5",     "+1",
                             "1_000",    "<<",      "=",           "ünï",    "\t",
                             "a\tb",     "\x01",    "line\nother", "line\n", "line\nother\n",
                             "\nlead\n", "two\n\n", " lead\nx\n",  ": x",    "?"}) {
        const Json value = {{"key", text}};
        EXPECT_EQ(round_trip(value), value) << '[' << text << "]\n" << to_yaml(value);
        EXPECT_EQ(round_trip(Json{{"a", Json::array({text})}}), (Json{{"a", Json::array({text})}})) << text;
    }
}

TEST(YamlTest, KeysStayKeys) {
    for (const char* key : {"true", "12", "a b", "a: b", "#", "volatile.eth0.hwaddr", "-"}) {
        const Json value = {{key, "v"}};
        EXPECT_EQ(round_trip(value), value) << key;
    }
}

TEST(YamlTest, OtherScalarsStayWhatTheyAre) {
    const Json value = {{"a", true},
                        {"b", false},
                        {"c", nullptr},
                        {"d", 12},
                        {"e", -3},
                        {"f", 1.5},
                        {"g", Json::object()},
                        {"h", Json::array()},
                        {"i", Json::array({1, "1", Json::object({{"x", Json::array()}})})}};
    EXPECT_EQ(round_trip(value), value) << to_yaml(value);
}

TEST(YamlTest, MultilineTextIsALiteralBlock) {
    EXPECT_EQ(to_yaml(Json{{"user-data", "#cloud-config\na: b\n"}}),
              "user-data: |\n  #cloud-config\n  a: b\n");
}

TEST(YamlTest, ConfigValuesKeepTheirText) {
    const auto value = from_yaml(
        "config: {ipv4.nat: true, size: 1.10, n: 007, empty: }\nephemeral: true\n"
        "devices: {eth0: {mtu: 1400}}\n");
    ASSERT_TRUE(value) << value.error().message;
    EXPECT_EQ((*value)["config"],
              (Json{{"ipv4.nat", "true"}, {"size", "1.10"}, {"n", "007"}, {"empty", ""}}));
    EXPECT_EQ((*value)["devices"]["eth0"]["mtu"], "1400");
    EXPECT_EQ((*value)["ephemeral"], true);
}

TEST(YamlTest, QuotedScalarsAreStrings) {
    EXPECT_EQ(*from_yaml("a: \"12\"\nb: 'true'\nc: |\n  x\n"),
              (Json{{"a", "12"}, {"b", "true"}, {"c", "x\n"}}));
}

TEST(YamlTest, ErrorsNameTheLine) {
    const auto twice = from_yaml("a: 1\nb: 2\na: 3\n");
    ASSERT_FALSE(twice);
    EXPECT_EQ(twice.error().message, "YAML line 3: key 'a' occurs twice");
    EXPECT_FALSE(from_yaml("a: [1,"));
    EXPECT_FALSE(from_yaml("a: b: c"));
    EXPECT_FALSE(from_yaml("--- 1\n--- 2\n"));
    EXPECT_FALSE(from_yaml("[a]: 1"));
    EXPECT_FALSE(from_yaml(std::string(200, '[') + std::string(200, ']')));
}

TEST(YamlTest, NothingIsNull) { EXPECT_EQ(*from_yaml(""), Json(nullptr)); }

}  // namespace
}  // namespace lxmgr::cli
