#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "lxd-daemon/sys/mount.h"
#include "storage/block_groups.h"
#include "storage/rubbish.h"
#include "storage/tree/copy.h"
#include "storage/tree/list.h"
#include "storage/tree/remove.h"
#include "storage/tree/usage.h"

namespace lxmgr::storage {
namespace {

namespace fs = std::filesystem;

class TreeTest : public testing::Test {
protected:
    void SetUp() override {
        std::string text = (fs::temp_directory_path() / "lxmgr-tree-XXXXXX").string();
        ASSERT_NE(::mkdtemp(text.data()), nullptr);
        path_ = text;
        fd_ = UniqueFd(::open(text.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
    void TearDown() override { fs::remove_all(path_); }

    UniqueFd make(const std::string& name) {
        fs::create_directories(path_ / name);
        return UniqueFd(::openat(fd_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }

    fs::path path_;
    UniqueFd fd_;
};

TEST_F(TreeTest, OnExt4ADirectorySpreadsTheTreesInIt) {
    const auto flags = [this] {
        unsigned out = 0;
        return ::ioctl(fd_.get(), FS_IOC_GETFLAGS, &out) == 0 ? out : 0;
    };
    const unsigned before = flags();
    const auto magic = sys::file_system_magic(fd_.get());
    ASSERT_TRUE(magic.has_value());
    for (int time = 0; time < 2; ++time) spread_over_block_groups(fd_.get());
    EXPECT_EQ(flags(), *magic == EXT4_SUPER_MAGIC ? before | FS_TOPDIR_FL : before);
}

TEST_F(TreeTest, RemovalNeverFollowsSymlinks) {
    const UniqueFd kept = make("kept"), gone = make("gone");
    std::ofstream(path_ / "kept/file") << "x";
    ASSERT_EQ(::symlinkat("../kept", gone.get(), "link"), 0);
    EXPECT_TRUE(remove_tree_at(fd_.get(), "gone", [] { return false; }).value().empty());
    EXPECT_TRUE(fs::exists(path_ / "kept/file"));
    EXPECT_FALSE(fs::exists(path_ / "gone"));
}

TEST_F(TreeTest, InterruptedRemovalTellsWhatIsLeft) {
    UniqueFd at = make("gone");
    for (int i = 0; i < 300; ++i) {
        ASSERT_EQ(::mkdirat(at.get(), "d", 0700), 0);
        at.reset(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
    int budget = 100;
    std::vector<std::string> waiting = {"gone"};
    for (int rounds = 0; !waiting.empty(); ++rounds) {
        ASSERT_LT(rounds, 100);
        const std::string next = waiting.back();
        waiting.pop_back();
        const auto left = remove_tree_at(fd_.get(), next, [&budget] { return --budget == 0; }).value();
        waiting.insert(waiting.end(), left.begin(), left.end());
        budget = 100;
    }
    EXPECT_TRUE(list_directory(fd_.get()).value().empty());
}

TEST_F(TreeTest, RemovalOfWhatIsNotThereSucceeds) {
    EXPECT_TRUE(remove_tree_at(fd_.get(), "none", [] { return false; }).value().empty());
}

TEST_F(TreeTest, RubbishIsGoneAfterDrain) {
    for (int i = 0; i < 5000; ++i) {
        if (i % 500 == 0) fs::create_directories(path_ / "big" / std::to_string(i / 500));
        std::ofstream(path_ / "big" / std::to_string(i / 500) / std::to_string(i));
    }
    Rubbish rubbish(plain_directories());
    rubbish.open(fd_.get());
    rubbish.remove("big");
    rubbish.drain();
    EXPECT_FALSE(fs::exists(path_ / "big"));
}

TEST_F(TreeTest, CopyOfATooDeepTreeIsRefused) {
    const UniqueFd from = make("from"), to = make("to");
    UniqueFd at(::dup(from.get()));
    for (int i = 0; i < kMaxTreeDepth + 1; ++i) {
        ASSERT_EQ(::mkdirat(at.get(), "d", 0700), 0);
        at.reset(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
    EXPECT_EQ(copy_tree(from.get(), to.get(), nullptr).error().status, Status::bad_request);
    // std::filesystem cannot remove paths of that length.
    for (const char* name : {"from", "to"})
        EXPECT_TRUE(remove_tree_at(fd_.get(), name, [] { return false; }).value().empty());
}

TEST_F(TreeTest, CopyKeepsSymlinksThatLeadOut) {
    const UniqueFd from = make("from"), to = make("to");
    ASSERT_EQ(::symlinkat("/etc", from.get(), "out"), 0);
    ASSERT_TRUE(copy_tree(from.get(), to.get(), nullptr));
    EXPECT_EQ(fs::read_symlink(path_ / "to/out"), "/etc");
}

TEST_F(TreeTest, UsageCountsHardLinksOnce) {
    const UniqueFd root = make("root");
    std::ofstream(path_ / "root/a") << std::string(1 << 20, 'x');
    ::sync();
    const auto once = tree_usage_bytes(root.get()).value();
    ASSERT_EQ(::linkat(root.get(), "a", root.get(), "b", 0), 0);
    EXPECT_EQ(tree_usage_bytes(root.get()).value(), once);
}

}  // namespace
}  // namespace lxmgr::storage
