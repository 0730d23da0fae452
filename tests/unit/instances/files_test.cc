#include "lxd-daemon/instances/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "lxd-daemon/base/files.h"

namespace lxmgr::instances {
namespace {

namespace fs = std::filesystem;

/// A tree that plays the instance's root, beside a file that plays the host's.
class FilesTest : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = testing::TempDir() + "lxmgr-files-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        base_ = pattern;
        fs::create_directories(base_ + "/root/etc");
        std::ofstream(base_ + "/secret") << "host";
        root_.fd.reset(::open((base_ + "/root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        ASSERT_TRUE(root_.fd);
    }
    void TearDown() override { ASSERT_TRUE(remove_tree(base_)); }

    static UniqueFd content(const std::string& text) {
        UniqueFd fd(::memfd_create("content", MFD_CLOEXEC));
        EXPECT_EQ(::pwrite(fd.get(), text.data(), text.size(), 0), std::ssize(text));
        return fd;
    }
    Result<> put(const std::string& path, const std::string& text, bool append = false,
                 const Ownership& ownership = {}) {
        const UniqueFd source = content(text);
        return write_file(root_, path, source.get(), append, ownership);
    }
    std::string on_disk(const std::string& path) { return read_file(base_ + path).value_or("<none>"); }

    std::string base_;
    InstanceRoot root_;
};

TEST_F(FilesTest, NewFileGetsDefaultModeWhateverTheUmask) {
    ASSERT_TRUE(put("/etc/motd", "hello"));
    const auto info = file_info(root_, "/etc/motd");
    ASSERT_TRUE(info);
    EXPECT_EQ(info->mode, 0644U);
    EXPECT_EQ(info->size_bytes, 5U);
    EXPECT_EQ(on_disk("/root/etc/motd"), "hello");
}

TEST_F(FilesTest, OverwriteKeepsModeAndAppendAdds) {
    ASSERT_TRUE(put("/etc/motd", "hello", false, {.mode = 0600}));
    ASSERT_TRUE(put("/etc/motd", "bye"));
    ASSERT_TRUE(put("/etc/motd", "!", true));
    EXPECT_EQ(on_disk("/root/etc/motd"), "bye!");
    EXPECT_EQ(file_info(root_, "/etc/motd")->mode, 0600U);
}

TEST_F(FilesTest, WhatExistsKeepsOwnerAndMode) {
    ASSERT_TRUE(put("/etc/motd", "hello", false, {.mode = 0600}));
    ASSERT_TRUE(put("/etc/motd", "bye", false, {.mode = 0666}));
    EXPECT_EQ(file_info(root_, "/etc/motd")->mode, 0600U);
    ASSERT_TRUE(make_directory(root_, "/tmp", {.mode = 01777}));
    ASSERT_TRUE(make_directory(root_, "/tmp", {.mode = 0700}));
    EXPECT_EQ(file_info(root_, "/tmp")->mode, 01777U);
    ASSERT_TRUE(make_directory(root_, "/tmp", {}, {.mode = 0711}));
    EXPECT_EQ(file_info(root_, "/tmp")->mode, 0711U);
}

TEST_F(FilesTest, TheRootAndLinksToDirectoriesExist) {
    EXPECT_TRUE(make_directory(root_, "/", {}));
    fs::create_symlink("/etc", base_ + "/root/link");
    EXPECT_TRUE(make_directory(root_, "/link", {}));
    EXPECT_TRUE(fs::is_symlink(base_ + "/root/link"));
    fs::create_symlink("/missing", base_ + "/root/dangling");
    EXPECT_FALSE(make_directory(root_, "/dangling", {}));
}

TEST_F(FilesTest, AbsoluteSymlinkStaysInside) {
    fs::create_symlink("/etc/motd", base_ + "/root/link");
    ASSERT_TRUE(put("/link", "inside"));
    EXPECT_EQ(on_disk("/root/etc/motd"), "inside");
}

TEST_F(FilesTest, NoSymlinkReachesTheHost) {
    fs::create_symlink("../../../../../../../../" + base_ + "/secret", base_ + "/root/up");
    fs::create_symlink(base_, base_ + "/root/dir");
    EXPECT_FALSE(open_file(root_, "/dir/secret"));
    EXPECT_FALSE(open_file(root_, "/../secret"));
    [[maybe_unused]] const auto tried = put("/up", "owned");
    [[maybe_unused]] const auto removed = remove_path(root_, "/dir/secret", true);
    EXPECT_EQ(on_disk("/secret"), "host");
}

TEST_F(FilesTest, SymlinkIsShownAsOne) {
    fs::create_symlink("motd", base_ + "/root/etc/link");
    const auto file = open_file(root_, "/etc/link");
    ASSERT_TRUE(file);
    EXPECT_EQ(file->info.type, FileType::symlink);
    EXPECT_EQ(file->link_target, "motd");
}

TEST_F(FilesTest, PipeIsRefusedAndDoesNotBlock) {
    ASSERT_EQ(::mkfifo((base_ + "/root/pipe").c_str(), 0600), 0);
    EXPECT_FALSE(open_file(root_, "/pipe"));
    EXPECT_FALSE(put("/pipe", "x"));
}

TEST_F(FilesTest, DirectoryListsSortedBareNames) {
    ASSERT_TRUE(put("/etc/b", ""));
    ASSERT_TRUE(put("/etc/a", ""));
    const auto file = open_file(root_, "/etc");
    ASSERT_TRUE(file);
    EXPECT_EQ(file->entries, (std::vector<std::string>{"a", "b"}));
}

TEST_F(FilesTest, ExistingDirectoryIsKeptByCreation) {
    ASSERT_TRUE(make_directory(root_, "/new", {}));
    EXPECT_EQ(file_info(root_, "/new")->mode, 0755U);
    ASSERT_TRUE(put("/new/file", "x"));
    EXPECT_TRUE(make_directory(root_, "/new", {}));
    EXPECT_EQ(on_disk("/root/new/file"), "x");
    EXPECT_FALSE(make_directory(root_, "/missing/below", {}));
}

TEST_F(FilesTest, RemoveRefusesFullDirectoryUnlessRecursive) {
    ASSERT_TRUE(put("/etc/a", ""));
    EXPECT_FALSE(remove_path(root_, "/etc", false));
    EXPECT_TRUE(remove_path(root_, "/etc", true));
    EXPECT_EQ(remove_path(root_, "/etc", false).error().status, Status::not_found);
}

TEST_F(FilesTest, RecursiveRemoveDoesNotFollowLinks) {
    fs::create_directories(base_ + "/outside");
    std::ofstream(base_ + "/outside/kept") << "x";
    fs::create_symlink(base_ + "/outside", base_ + "/root/etc/link");
    EXPECT_TRUE(remove_path(root_, "/etc", true));
    EXPECT_EQ(on_disk("/outside/kept"), "x");
}

TEST_F(FilesTest, RootItselfAndEmptyPathAreNoFile) {
    EXPECT_FALSE(remove_path(root_, "/", true));
    EXPECT_FALSE(put("", "x"));
    EXPECT_FALSE(put("/..", "x"));
    EXPECT_TRUE(open_file(root_, "/"));
}

TEST_F(FilesTest, SymlinkReplacesSymlinkOnly) {
    ASSERT_TRUE(make_symlink(root_, "/etc/l", "one", {}));
    ASSERT_TRUE(make_symlink(root_, "/etc/l", "two", {}));
    EXPECT_EQ(open_file(root_, "/etc/l")->link_target, "two");
    ASSERT_TRUE(put("/etc/f", "x"));
    EXPECT_FALSE(make_symlink(root_, "/etc/f", "two", {}));
}

}  // namespace
}  // namespace lxmgr::instances
