#include "lxmgr/local_tree.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "lxmgr/editor.h"

namespace lxmgr::cli {
namespace {

namespace fs = std::filesystem;

class LocalTreeTest : public ::testing::Test {
protected:
    void SetUp() override {
        outside_ = made_.path() + "/outside";
        root_ = made_.path() + "/root";
        fs::create_directories(outside_);
        fs::create_directories(root_);
        auto opened = open_user_directory(root_);
        ASSERT_TRUE(opened);
        directory_ = std::move(*opened);
    }
    static TemporaryDirectory create() { return *TemporaryDirectory::create(); }

    TemporaryDirectory made_ = create();
    std::string outside_, root_;
    UniqueFd directory_;
};

TEST_F(LocalTreeTest, RefusesNamesThatLeadOut) {
    for (const std::string_view name : {"", ".", "..", "a/b", "/etc", "../x"}) {
        EXPECT_FALSE(check_entry_name(name)) << name;
        EXPECT_FALSE(create_file(directory_.get(), std::string(name), 0644)) << name;
        EXPECT_FALSE(enter_directory(directory_.get(), std::string(name), 0755)) << name;
        EXPECT_FALSE(create_link(directory_.get(), std::string(name), "x")) << name;
    }
    EXPECT_FALSE(check_entry_name(std::string_view("a\0b", 3)));
    for (const char* name : {"a", "...", "..a", "a..", " ", "-rf"})
        EXPECT_TRUE(check_entry_name(name)) << name;
}

TEST_F(LocalTreeTest, NeverWritesThroughALink) {
    std::ofstream(outside_ + "/victim") << "precious";
    ASSERT_TRUE(create_link(directory_.get(), "f", outside_ + "/victim"));
    ASSERT_TRUE(create_link(directory_.get(), "d", outside_));
    EXPECT_FALSE(create_file(directory_.get(), "f", 0644));
    EXPECT_FALSE(enter_directory(directory_.get(), "d", 0755));
    EXPECT_EQ(fs::file_size(outside_ + "/victim"), 8U);
}

TEST_F(LocalTreeTest, DropsSetuidBits) {
    ASSERT_TRUE(create_file(directory_.get(), "f", 06755));
    ASSERT_TRUE(enter_directory(directory_.get(), "d", 07777));
    struct stat status{};
    ASSERT_EQ(::stat((root_ + "/f").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07000U, 0U);
    ASSERT_EQ(::stat((root_ + "/d").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07000U, 0U);
}

TEST_F(LocalTreeTest, ReplacesRegularFilesAndLinksOnly) {
    std::ofstream(root_ + "/old") << "a long old text";
    ASSERT_TRUE(create_file(directory_.get(), "old", 0644));
    EXPECT_EQ(fs::file_size(root_ + "/old"), 0U);
    ASSERT_EQ(::mkfifo((root_ + "/fifo").c_str(), 0600), 0);
    EXPECT_FALSE(create_file(directory_.get(), "fifo", 0644));
    ASSERT_TRUE(create_link(directory_.get(), "l", "one"));
    ASSERT_TRUE(create_link(directory_.get(), "l", "two"));
    EXPECT_EQ(fs::read_symlink(root_ + "/l"), "two");
    EXPECT_FALSE(create_link(directory_.get(), "old", "x"));
}

TEST_F(LocalTreeTest, EntersADirectoryAgain) {
    ASSERT_TRUE(enter_directory(directory_.get(), "d", 0000));
    EXPECT_TRUE(enter_directory(directory_.get(), "d", 0000));
}

}  // namespace
}  // namespace lxmgr::cli
