#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "images/image.h"

namespace lxmgr::images {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string error_of(const std::string& yaml) {
    const auto metadata = parse_metadata(yaml);
    if (metadata) return "";
    EXPECT_EQ(metadata.error().status, Status::bad_request);
    return metadata.error().message;
}

TEST(MetadataTest, ReadsWhatImageMakersWrite) {
    const auto metadata = parse_metadata(R"yaml(
architecture: "x86_64"
creation_date: 1424284563
expiry_date: 1424284999
properties:
  description: "Ubuntu 22.04 LTS server (20180228)"
  os: ubuntu
  release: 22.04
  serial: 20180228
  empty:
templates:
  /etc/hostname:
    when:
      - create
      - copy
    create_only: true
    template: hostname.tpl
    properties:
      foo: bar
  /etc/network/interfaces:
    when: [create]
    template: interfaces.tpl
unknown: [1, 2, {a: b}]
)yaml");
    ASSERT_TRUE(metadata) << metadata.error().message;
    EXPECT_EQ(metadata->architecture, "x86_64");
    EXPECT_EQ(metadata->creation_date, Time{std::chrono::seconds(1424284563)});
    EXPECT_EQ(metadata->expiry_date, Time{std::chrono::seconds(1424284999)});
    EXPECT_EQ(metadata->properties.at("release"), "22.04");
    EXPECT_EQ(metadata->properties.at("serial"), "20180228");
    EXPECT_EQ(metadata->properties.at("empty"), "");
    ASSERT_EQ(metadata->templates.size(), 2u);
    const Template& hostname = metadata->templates.at("/etc/hostname");
    EXPECT_THAT(hostname.when, ElementsAre("create", "copy"));
    EXPECT_TRUE(hostname.create_only);
    EXPECT_EQ(hostname.source, "hostname.tpl");
    EXPECT_EQ(hostname.properties.at("foo"), "bar");
    EXPECT_FALSE(metadata->templates.at("/etc/network/interfaces").create_only);
}

TEST(MetadataTest, MissingKeysGiveEmptyValues) {
    const auto metadata = parse_metadata("architecture: aarch64\n");
    ASSERT_TRUE(metadata) << metadata.error().message;
    EXPECT_EQ(metadata->creation_date, Time{});
    EXPECT_TRUE(metadata->properties.empty());
    EXPECT_TRUE(metadata->templates.empty());
    EXPECT_TRUE(parse_metadata(""));
    EXPECT_TRUE(parse_metadata("properties:\ntemplates:\n"));
}

TEST(MetadataTest, IsTheSameAfterWritingAndReading) {
    Metadata metadata;
    metadata.architecture = "x86_64";
    metadata.creation_date = Time{std::chrono::seconds(1'700'000'000)};
    metadata.properties = {
        {"os", "Debian"}, {"a key: \"x\"", "line\nbreak"}, {"n", "no"}, {"u", "ä€😀"}, {"\r", "\r"}};
    metadata.templates["/etc/a b"] = {{"create", "\r"}, true, "a.tpl", {{"x", "true"}, {"\r", "\r"}}};
    metadata.templates["/etc/c"] = {{}, false, "c", {}};
    const auto again = parse_metadata(to_yaml(metadata));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->architecture, metadata.architecture);
    EXPECT_EQ(again->creation_date, metadata.creation_date);
    EXPECT_EQ(again->expiry_date, metadata.expiry_date);
    EXPECT_EQ(again->properties, metadata.properties);
    EXPECT_EQ(again->templates, metadata.templates);
}

TEST(MetadataTest, LongKeysStayKeys) {
    Metadata metadata;
    const std::string key(1000, '\x19'), path = "/" + std::string(3000, 'p');
    metadata.properties = {{key, "1"}, {key + "2", "2"}, {"os", "Debian"}};
    metadata.templates[path] = {{"create"}, false, "a.tpl", {{key, "x"}}};
    const auto again = parse_metadata(to_yaml(metadata));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->properties, metadata.properties);
    EXPECT_EQ(again->templates, metadata.templates);
}

TEST(MetadataTest, RefusesCodePointsThatAreNoCharacters) {
    for (const char* text : {"\ufdd0", "\ufdef", "\ufffe", "\uffff", "\U0001fffe", "\U0010ffff"}) {
        EXPECT_THAT(error_of("architecture: \"a" + std::string(text) + "b\""), HasSubstr("no character"));
        EXPECT_THAT(error_of("properties: {\"" + std::string(text) + "\": b}"), HasSubstr("no character"));
    }
    for (const char* text : {"\ufdcf", "\ufdf0", "\ufffd", "\U0001f600", "\U0001fffd", "ﷺ"})
        EXPECT_TRUE(parse_metadata("architecture: \"a" + std::string(text) + "\"")) << text;
}

TEST(MetadataTest, RefusesWhatIsNoMapOfPlainValues) {
    EXPECT_THAT(error_of("[1, 2]"), HasSubstr("not a map"));
    EXPECT_THAT(error_of("just text"), HasSubstr("not a map"));
    EXPECT_THAT(error_of("architecture: [x86_64]"), HasSubstr("'architecture'"));
    EXPECT_THAT(error_of("properties: [a]"), HasSubstr("'properties'"));
    EXPECT_THAT(error_of("properties: {a: {b: c}}"), HasSubstr("'properties'"));
    EXPECT_THAT(error_of("templates: x"), HasSubstr("'templates'"));
    EXPECT_THAT(error_of("templates: {/etc/x: y}"), HasSubstr("'/etc/x'"));
    EXPECT_THAT(error_of("templates: {/etc/x: {template: a, when: create}}"), HasSubstr("'when'"));
    EXPECT_THAT(error_of("templates: {/etc/x: {template: a, create_only: maybe}}"),
                HasSubstr("'create_only'"));
    EXPECT_THAT(error_of("a: 'unterminated"), HasSubstr("metadata.yaml"));
    EXPECT_THAT(error_of("\t- :\n  - {"), HasSubstr("metadata.yaml"));
    EXPECT_THAT(error_of("architecture: \"a\\0b\""), HasSubstr("NUL"));
    EXPECT_THAT(error_of("properties: {a: b\xff}"), HasSubstr("UTF-8"));
    EXPECT_THAT(error_of("properties: {a: \"\\ud800\"}"), HasSubstr("metadata.yaml"));
}

TEST(MetadataTest, RefusesDatesThatAreNone) {
    for (const char* date : {"-1", "soon", "1.5", "99999999999999", "9223372036854775807", "2024-01-01"}) {
        EXPECT_THAT(error_of(std::string("creation_date: ") + date), HasSubstr("'creation_date'")) << date;
    }
}

TEST(MetadataTest, RefusesTemplatesThatNameNoFileOfTheDirectory) {
    for (const char* source : {"../x", "a/b", "/etc/shadow", "..", ".", "\"\"", "\"a\\nb\""}) {
        EXPECT_THAT(error_of(std::string("templates: {/etc/x: {template: ") + source + "}}"),
                    HasSubstr("templates/"))
            << source;
    }
    EXPECT_THAT(error_of("templates: {/etc/x: {when: [create]}}"), HasSubstr("templates/"));
    EXPECT_THAT(error_of("templates: {\"/etc/\\n\": {template: a}}"), HasSubstr("unusable path"));
}

TEST(MetadataTest, RefusesAliasBombsAndDepthAndSize) {
    std::string properties = "p: &p {";
    for (int i = 0; i < 400; ++i) properties += "k" + std::to_string(i) + ": v, ";
    std::string bomb = properties + "}\ntemplates:\n";
    for (int i = 0; i < 400; ++i) bomb += "  /t" + std::to_string(i) + ": {template: x, properties: *p}\n";
    EXPECT_THAT(error_of(bomb), HasSubstr("more than"));
    EXPECT_NE(error_of(std::string(200'000, '[')), "");
    EXPECT_NE(error_of(std::string(200'000, '{')), "");
    std::string blocks;
    for (int i = 0; i < 1000; ++i) blocks += std::string(static_cast<std::size_t>(i), ' ') + "- \n";
    EXPECT_NE(error_of("a:\n" + blocks), "");
    EXPECT_THAT(error_of("a: " + std::string(std::size_t{1} << 20, 'x')), HasSubstr("larger than"));
}

}  // namespace
}  // namespace lxmgr::images
