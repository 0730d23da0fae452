#include "lxmgr/options.h"

#include <gtest/gtest.h>

#include "lxmgr/client.h"
#include "lxmgr/detach.h"
#include "lxmgr/images.h"
#include "lxmgr/remote_files.h"
#include "lxmgr/units.h"

namespace lxmgr::cli {
namespace {

TEST(ParsePairTest, SplitsAtTheFirstEqualsSign) {
    EXPECT_EQ(*parse_pair("a=b=c"), (std::pair<std::string, std::string>("a", "b=c")));
    EXPECT_EQ(parse_pair("a=")->second, "");
    EXPECT_FALSE(parse_pair("a"));
    EXPECT_FALSE(parse_pair("=b"));
}

TEST(ParseSettingsTest, TakesBothForms) {
    EXPECT_EQ(*parse_settings({"limits.cpu", "2"}), (Pairs{{"limits.cpu", "2"}}));
    EXPECT_EQ(*parse_settings({"a=1", "b=2"}), (Pairs{{"a", "1"}, {"b", "2"}}));
    EXPECT_FALSE(parse_settings({"a"}));
    EXPECT_FALSE(parse_settings({"a", "b", "c"}));
    EXPECT_FALSE(parse_settings({}));
}

TEST(ParseDeviceTest, TakesNameAndKeys) {
    EXPECT_EQ(*parse_device("eth0,mtu=1400,name=x"),
              (std::pair<std::string, Pairs>("eth0", {{"mtu", "1400"}, {"name", "x"}})));
    EXPECT_FALSE(parse_device("mtu=1400"));
    EXPECT_FALSE(parse_device(",a=b"));
    EXPECT_FALSE(parse_device("eth0,mtu"));
}

TEST(ParseInstancePathTest, KeepsTheTrailingSlash) {
    EXPECT_EQ(parse_instance_path("dev/etc/")->path, "/etc/");
    EXPECT_EQ(parse_instance_path("dev/etc/")->instance, "dev");
    EXPECT_FALSE(parse_instance_path("dev"));
    EXPECT_FALSE(parse_instance_path("/etc"));
}

TEST(ParseModeTest, ReadsOctal) {
    EXPECT_EQ(*parse_mode("0644"), 0644U);
    EXPECT_EQ(*parse_mode("4755"), 04755U);
    for (const char* wrong : {"", "9", "-1", "77777", "rwx", "644 "})
        EXPECT_FALSE(parse_mode(wrong)) << wrong;
}

TEST(ParseNumberTest, RefusesWhatIsNone) {
    EXPECT_EQ(*parse_number("0", "x"), 0U);
    for (const char* wrong : {"", "-1", "4294967296", "1a"})
        EXPECT_FALSE(parse_number(wrong, "User id")) << wrong;
}

TEST(EncodeTest, LeavesOnlyUnreservedCharacters) {
    EXPECT_EQ(encode("a-Z_0.~"), "a-Z_0.~");
    EXPECT_EQ(encode("a/b c?&%\n"), "a%2Fb%20c%3F%26%25%0A");
    EXPECT_EQ(api_path({"images", "aliases", "debian/12"}), "/1.0/images/aliases/debian%2F12");
    EXPECT_EQ(last_segment("/1.0/instances/dev?project=x"), "dev");
}

TEST(PathTest, PartsOfPaths) {
    EXPECT_EQ(parent_path("/a/b/"), "/a");
    EXPECT_EQ(parent_path("/a"), "/");
    EXPECT_EQ(parent_path("/"), "/");
    EXPECT_EQ(parent_path("./a"), ".");
    EXPECT_EQ(base_name("/a/b//"), "b");
    EXPECT_EQ(base_name("a"), "a");
    EXPECT_EQ(base_name("/"), "");
    EXPECT_EQ(join_path("/", "a"), "/a");
    EXPECT_EQ(join_path("/a", "b"), "/a/b");
}

TEST(DistroNameTest, KnowsWhatCanBeBuilt) {
    EXPECT_EQ(parse_distro("debian/12")->release, "12");
    EXPECT_TRUE(parse_distro("debian/bookworm-backports"));
    EXPECT_EQ(parse_distro("ubuntu/24.04")->distribution, "ubuntu");
    EXPECT_EQ(parse_distro("fedora/42")->distribution, "fedora");
    for (const char* wrong :
         {"debian", "plan9/4", "fedora/", "debian/", "debian/12/x", "debian/--x", "debian/a b", "debian/A"}) {
        EXPECT_FALSE(parse_distro(wrong)) << wrong;
    }
    EXPECT_TRUE(is_well_known_distro("debian/sid"));
    EXPECT_FALSE(is_well_known_distro("debian/99"));
    EXPECT_FALSE(is_well_known_distro("ubuntu/12"));
}

TEST(DetachKeyTest, LeavesOnCtrlAThenQ) {
    DetachKey key;
    std::string typed = "ls\x01";
    EXPECT_FALSE(key.filter(typed));
    EXPECT_EQ(typed, "ls");
    typed = "q";
    EXPECT_TRUE(key.filter(typed));
}

TEST(DetachKeyTest, PassesEverythingElse) {
    DetachKey key;
    std::string typed = "a\x01xb\x01\x01q";
    EXPECT_FALSE(key.filter(typed));
    EXPECT_EQ(typed, "a\x01xb\x01q");
}

TEST(UnitsTest, AreForPeople) {
    EXPECT_EQ(human_bytes(0), "0B");
    EXPECT_EQ(human_bytes(1536), "1.50KiB");
    EXPECT_EQ(human_bytes(std::uint64_t{1} << 40U), "1.00TiB");
    EXPECT_EQ(human_time("2026-11-21T05:53:00.5Z"), "2026/11/21 05:53 UTC");
    EXPECT_EQ(human_time("0001-01-01T00:00:00Z"), "");
    EXPECT_EQ(human_seconds(3'725'000'000'000), "1h 2m 5s");
}

}  // namespace
}  // namespace lxmgr::cli
