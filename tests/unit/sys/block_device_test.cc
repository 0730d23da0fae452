#include "lxd-daemon/sys/block_device.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace lxmgr::sys {
namespace {

TEST(DiskOfTest, SaysWhichDiskOrWhyNone) {
    EXPECT_EQ(disk_of("/no/such/path").error().status, Status::not_found);
    EXPECT_EQ(disk_of("/proc").error().status, Status::bad_request);
    const auto disk = disk_of("/");
    if (!disk) {  // a machine whose root is in memory or elsewhere
        EXPECT_EQ(disk.error().status, Status::bad_request);
        return;
    }
    EXPECT_TRUE(std::filesystem::exists("/sys/dev/block/" + *disk)) << *disk;
    EXPECT_FALSE(std::filesystem::exists("/sys/dev/block/" + *disk + "/partition")) << *disk;
}

}  // namespace
}  // namespace lxmgr::sys
