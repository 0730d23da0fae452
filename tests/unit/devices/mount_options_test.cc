#include "lxd-daemon/devices/mount_options.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

namespace lxmgr::devices {
namespace {

TEST(MountOptionsTest, TurnsWordsIntoAttributes) {
    const auto options = parse_mount_options("ro,nosuid,noatime", false);
    ASSERT_TRUE(options);
    EXPECT_EQ(options->attributes, std::uint64_t{MOUNT_ATTR_RDONLY} | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME);
    EXPECT_EQ(parse_mount_options("ro,rw", false)->attributes, 0u) << "the last word wins";
    EXPECT_EQ(parse_mount_options("", false)->attributes, 0u);
}

TEST(MountOptionsTest, TakesSizesOfTmpfsOnly) {
    const auto options = parse_mount_options("size=10%,mode=1777", true);
    ASSERT_TRUE(options);
    EXPECT_EQ(options->of_tmpfs.size(), 2u);
    EXPECT_FALSE(parse_mount_options("size=1m", false));
}

TEST(MountOptionsTest, RefusesWhatIsUnknownOrUnsafe) {
    for (const char* text : {"dev", "user", "loop", "ro,,rw", "size=", "uid=0", "size=1m/../x"})
        EXPECT_FALSE(parse_mount_options(text, true)) << text;
}

}  // namespace
}  // namespace lxmgr::devices
