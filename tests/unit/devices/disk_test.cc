#include "lxd-daemon/devices/disk.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/sys/mount.h"
#include "tests/unit/devices/fake_surroundings.h"

namespace lxmgr::devices {
namespace {

using ::testing::HasSubstr;

class DiskTest : public ::testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root: mounts";
        char path[] = "/tmp/lxmgr-devices-XXXXXX";
        ASSERT_NE(::mkdtemp(path), nullptr);
        dir_ = path;
        ASSERT_TRUE(make_directory(dir_ + "/source", 0755));
        ASSERT_TRUE(make_directory(dir_ + "/target", 0755));
        ASSERT_TRUE(write_file_atomic(dir_ + "/source/file", "hello", 0644));
        instance_.devices["data"] = {{"type", "disk"}, {"source", dir_ + "/source"}, {"path", "/data"}};
    }
    void TearDown() override {
        if (!dir_.empty()) {
            EXPECT_TRUE(remove_tree(dir_));
        }
    }
    void set(const std::string& key, const std::string& value) { instance_.devices["data"][key] = value; }
    Result<Started> start() { return disk().start(instance_.context("data")); }
    std::string error() {
        const auto started = start();
        return started ? std::string() : started.error().message;
    }

    std::string dir_;
    FakeInstance instance_;
};

TEST_F(DiskTest, BindsADirectory) {
    auto started = start();
    ASSERT_TRUE(started) << started.error().message;
    ASSERT_EQ(started->attaches.size(), 1u);
    EXPECT_EQ(started->attaches[0].target, "/data");
    EXPECT_TRUE(started->attaches[0].is_directory);
    const auto guard = sys::attach_mount(started->attaches[0].mount.get(), dir_ + "/target");
    ASSERT_TRUE(guard);
    EXPECT_EQ(*read_file(dir_ + "/target/file"), "hello");
    ASSERT_TRUE(write_file_atomic(dir_ + "/target/new", "x", 0644));
    EXPECT_TRUE(path_exists(dir_ + "/source/new"));
    ASSERT_EQ(::mknod((dir_ + "/source/null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
    EXPECT_LT(::open((dir_ + "/target/null").c_str(), O_RDONLY | O_CLOEXEC), 0) << "no devices of the host";
}

TEST_F(DiskTest, BindsAFileReadOnly) {
    set("source", dir_ + "/source/file");
    set("readonly", "true");
    auto started = start();
    ASSERT_TRUE(started) << started.error().message;
    EXPECT_FALSE(started->attaches[0].is_directory);
    ASSERT_TRUE(write_file_atomic(dir_ + "/file", ""));
    const auto guard = sys::attach_mount(started->attaches[0].mount.get(), dir_ + "/file");
    ASSERT_TRUE(guard);
    EXPECT_LT(::open((dir_ + "/file").c_str(), O_WRONLY | O_CLOEXEC), 0);
    EXPECT_EQ(errno, EROFS);
}

TEST_F(DiskTest, ShiftsIdsWhenAskedTo) {
    set("shift", "true");
    auto started = start();
    ASSERT_TRUE(started) << started.error().message;
    const auto guard = sys::attach_mount(started->attaches[0].mount.get(), dir_ + "/target");
    ASSERT_TRUE(guard);
    struct stat st{};
    ASSERT_EQ(::stat((dir_ + "/target/file").c_str(), &st), 0);
    EXPECT_EQ(st.st_uid, 1000000u) << "0 on disk is the instance's root";
}

TEST_F(DiskTest, SkipsAnAbsentSourceOnlyWhenNotRequired) {
    set("source", dir_ + "/nothing");
    EXPECT_THAT(error(), HasSubstr("does not exist"));
    set("required", "false");
    const auto started = start();
    ASSERT_TRUE(started);
    EXPECT_TRUE(started->attaches.empty());
}

TEST_F(DiskTest, RefusesWhatItCannotMeanWell) {
    set("source", "/proc/self/root/etc");
    EXPECT_NE(error(), "") << "a magic link";
    set("source", "/dev/null");
    EXPECT_THAT(error(), HasSubstr("neither a directory, a file nor a block device"));
    set("source", dir_ + "/../etc");
    EXPECT_THAT(error(), HasSubstr("without '..'"));
    set("source", dir_ + "/source");
    set("path", "data/../etc");
    EXPECT_THAT(error(), HasSubstr("must have no '..'"));
    set("path", "/data");
    set("shift", "true");
    set("recursive", "true");
    EXPECT_THAT(error(), HasSubstr("cannot be combined"));
}

TEST_F(DiskTest, OfTheRootNeedsAPoolAndAttachesNothing) {
    instance_.devices["data"] = {{"type", "disk"}, {"path", "/"}, {"pool", "default"}};
    EXPECT_TRUE(disk().validate(instance_.context("data")));
    EXPECT_TRUE(start()->attaches.empty());
    set("pool", "other");
    const auto checked = disk().validate(instance_.context("data"));
    ASSERT_FALSE(checked);
    EXPECT_THAT(checked.error().message, HasSubstr("storage pool 'other' does not exist"));
}

TEST(DeviceRegistryTest, FindsTypesAndNamesThoseItKnows) {
    for (const char* type :
         {"disk", "gpu", "nic", "none", "proxy", "unix-block", "unix-char", "unix-hotplug", "usb"})
        EXPECT_TRUE(find_type("x", {{"type", type}}));
    const auto unknown = find_type("x", {{"type", "tpm"}});
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().status, Status::bad_request);
    EXPECT_EQ(
        unknown.error().message,
        "Device 'x': unknown type 'tpm'; allowed are disk, gpu, nic, none, proxy, unix-block, unix-char, "
        "unix-hotplug, usb");
    EXPECT_FALSE(find_type("x", {}));
}

}  // namespace
}  // namespace lxmgr::devices
