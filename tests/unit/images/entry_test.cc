#include "images/entry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "images/image_layout.h"

namespace lxmgr::images {
namespace {

using testing::HasSubstr;

TEST(EntryPathTest, IsBroughtIntoOneForm) {
    for (const auto& [name, path] :
         {std::pair{"./a//b/", "a/b"}, std::pair{".", ""}, std::pair{"./", ""}, std::pair{"a/./b", "a/b"},
          std::pair{"...", "..."}, std::pair{"a/..b", "a/..b"}, std::pair{"\xff\xfe", "\xff\xfe"},
          std::pair{"a\nb", "a\nb"}}) {
        const auto got = entry_path(name);
        ASSERT_TRUE(got) << name << ": " << got.error().message;
        EXPECT_EQ(*got, path);
    }
}

TEST(EntryPathTest, RefusesWhatCouldLeave) {
    using std::string_literals::operator""s;
    const std::string deep(5000, 'x');
    for (const auto& name :
         {"/etc/passwd"s, "../x"s, "a/../../x"s, "a/.."s, ".."s, ""s, "//x"s, "a\0b"s, "d/" + deep}) {
        const auto got = entry_path(name);
        ASSERT_FALSE(got) << name;
        EXPECT_EQ(got.error().status, Status::bad_request);
    }
    std::string many;
    for (int i = 0; i < 3000; ++i) many += "a/";
    EXPECT_FALSE(entry_path(many));
}

TEST(EntryPathTest, IsShownWithoutBytesThatATerminalActsOn) {
    EXPECT_EQ(shown("a\x1b[2Jb\n"), "'a?[2Jb?'");
    EXPECT_EQ(shown("gr\xc3\xbc\xc3\x9f"), "'gr\xc3\xbc\xc3\x9f'");
    EXPECT_EQ(shown("\xff"), "'?'");
    EXPECT_LT(shown(std::string(5000, 'x')).size(), 250u);
}

TEST(EntryPathTest, PrefixIsStrippedAtADirectoryOnly) {
    for (const auto& [path, want, found] :
         {std::tuple{"rootfs/a", "a", true}, std::tuple{"rootfs", "", true},
          std::tuple{"rootfsx/a", "rootfsx/a", false}, std::tuple{"a/rootfs", "a/rootfs", false}}) {
        std::string text = path;
        EXPECT_EQ(strip_prefix(text, "rootfs"), found);
        EXPECT_EQ(text, want);
    }
}

Entry device(std::string path, EntryType type, unsigned major, unsigned minor) {
    Entry entry;
    entry.path = std::move(path);
    entry.type = type;
    entry.device_major = major;
    entry.device_minor = minor;
    return entry;
}

TEST(AdmitTest, LeavesOutTheDevicesThatEveryContainerGets) {
    for (const auto& entry :
         {device("dev/null", EntryType::char_device, 1, 3),
          device("dev/console", EntryType::char_device, 5, 1),
          device("dev/tty63", EntryType::char_device, 4, 63), device("dev/x", EntryType::socket, 0, 0)}) {
        const auto wanted = admit(entry);
        ASSERT_TRUE(wanted) << entry.path << wanted.error().message;
        EXPECT_FALSE(*wanted) << entry.path;
    }
}

TEST(AdmitTest, RefusesOtherDevices) {
    for (const auto& entry :
         {device("dev/null", EntryType::block_device, 1, 3), device("dev/null", EntryType::char_device, 8, 0),
          device("dev/sda", EntryType::block_device, 8, 0), device("dev/mem", EntryType::char_device, 1, 1),
          device("etc/kmsg", EntryType::char_device, 1, 11),
          device("srv/console", EntryType::char_device, 5, 1),
          device("etc/passwd", EntryType::block_device, 0, 0),
          device("dev/tty64", EntryType::char_device, 4, 64),
          device("dev/tty1", EntryType::char_device, 4, 2)}) {
        const auto wanted = admit(entry);
        ASSERT_FALSE(wanted) << entry.path;
        EXPECT_EQ(wanted.error().status, Status::bad_request);
        EXPECT_THAT(wanted.error().message, HasSubstr("device"));
    }
}

TEST(AdmitTest, TakesHarmlessDevicesWhereverTheyAre) {
    for (const auto& entry :
         {device("var/lib/docker/overlay2/x/diff/gone", EntryType::char_device, 0, 0),
          device("srv/chroot/dev/null", EntryType::char_device, 1, 3),
          device("dev/x", EntryType::char_device, 5, 0), device("ptmx", EntryType::char_device, 5, 2)}) {
        const auto wanted = admit(entry);
        ASSERT_TRUE(wanted) << entry.path << wanted.error().message;
        EXPECT_TRUE(*wanted) << entry.path;
    }
}

TEST(AdmitTest, RefusesOwnersThatChownWouldTakeForNone) {
    Entry entry;
    entry.path = "a";
    entry.uid = 0xffffffff;
    EXPECT_FALSE(admit(entry));
    entry.uid = 0;
    entry.gid = std::uint64_t{1} << 40;
    EXPECT_FALSE(admit(entry));
    entry.gid = 0xfffffffe;
    EXPECT_TRUE(admit(entry));
}

TEST(AdmitTest, KeepsOnlyTheXattrsOfAnImage) {
    for (const char* name :
         {"user.a", "security.capability", "system.posix_acl_access", "system.posix_acl_default"}) {
        EXPECT_TRUE(is_image_xattr(name)) << name;
    }
    for (const char* name : {"trusted.overlay.opaque", "trusted.x", "security.selinux", "security.ima",
                             "user.", "", "system.nfs4_acl"}) {
        EXPECT_FALSE(is_image_xattr(name)) << name;
    }
}

TEST(RootfsFilterTest, FollowsTheFirstEntry) {
    Entry etc{.path = "etc"};
    RootfsFilter top;
    ASSERT_TRUE(top.apply(etc));
    EXPECT_EQ(etc.path, "etc");
    Entry rootfs{.path = "rootfs"}, bin{.path = "rootfs/bin"}, other{.path = "other"};
    RootfsFilter below;
    ASSERT_TRUE(below.apply(rootfs));
    ASSERT_TRUE(below.apply(bin));
    EXPECT_EQ(bin.path, "bin");
    EXPECT_FALSE(below.apply(other));
}

TEST(BudgetTest, StopsAtItsLimitsAndOnRequest) {
    std::stop_source stop;
    Budget budget({.max_bytes = 100, .max_entries = 2}, stop.get_token());
    EXPECT_TRUE(budget.take_bytes(100));
    EXPECT_EQ(budget.take_bytes(1).error().status, Status::bad_request);
    EXPECT_TRUE(budget.take_entry());
    EXPECT_TRUE(budget.take_entry());
    EXPECT_EQ(budget.take_entry().error().status, Status::bad_request);
    EXPECT_TRUE(budget.check_file_size("a", 100));
    EXPECT_FALSE(budget.check_file_size("a", 101));
    EXPECT_TRUE(budget.check_stop());
    stop.request_stop();
    EXPECT_EQ(budget.check_stop().error().status, Status::unavailable);
}

}  // namespace
}  // namespace lxmgr::images
