#include "storage/btrfs/mount_options.h"

#include <gtest/gtest.h>

namespace lxmgr::storage {
namespace {

TEST(RemountOptionsTest, WhatIsNoLongerSaidIsTakenBack) {
    EXPECT_EQ(remount_options("user_subvol_rm_allowed", "user_subvol_rm_allowed"), "user_subvol_rm_allowed");
    EXPECT_EQ(remount_options("compress=zstd,noatime", "noatime"), "compress=no,noatime");
    EXPECT_EQ(remount_options("compress=zstd:3", "compress=lzo"), "compress=lzo");
    EXPECT_EQ(remount_options("commit=60,nossd,user_subvol_rm_allowed", ""), "commit=30,ssd,");
    EXPECT_EQ(remount_options("nodatacow", "discard=async"), "datacow,datasum,discard=async");
    EXPECT_EQ(remount_options("", "autodefrag"), "autodefrag");
}

}  // namespace
}  // namespace lxmgr::storage
