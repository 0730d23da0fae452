#include "lxd-daemon/sys/path.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "lxd-daemon/base/files.h"

namespace lxmgr::sys {
namespace {

class PathTest : public testing::Test {
protected:
    void SetUp() override {
        char dir[] = "/tmp/lxmgr-path-XXXXXX";
        dir_ = ::mkdtemp(dir);
        ASSERT_TRUE(make_directory(dir_ + "/root"));
        ASSERT_TRUE(make_directory(dir_ + "/root/etc"));
        ASSERT_TRUE(write_file_atomic(dir_ + "/root/etc/hosts", "inside"));
        ASSERT_TRUE(write_file_atomic(dir_ + "/secret", "outside"));
        root_.reset(::open((dir_ + "/root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        link("/etc/hosts", "absolute");
        link("../secret", "above");
        link("etc", "relative");
        link("loop", "loop");
        link("/proc/self/root/etc/passwd", "magic");
    }
    void TearDown() override { EXPECT_TRUE(remove_tree(dir_)); }
    void link(const char* target, const char* name) { ASSERT_EQ(::symlinkat(target, root_.get(), name), 0); }
    std::string content(Result<UniqueFd> fd) {
        if (!fd)
            return fd.error().status == Status::not_found     ? "absent"
                   : fd.error().status == Status::bad_request ? "refused"
                                                              : fd.error().message;
        char text[16] = {};
        return {text, static_cast<std::size_t>(std::max<ssize_t>(::read(fd->get(), text, sizeof text), 0))};
    }
    std::string dir_;
    UniqueFd root_;
};

TEST_F(PathTest, InRootLinksStayInside) {
    const auto open = [&](const char* path) { return content(open_in_root(root_.get(), path, O_RDONLY)); };
    EXPECT_EQ(open("/etc/hosts"), "inside");
    EXPECT_EQ(open("absolute"), "inside");
    EXPECT_EQ(open("../../../etc/hosts"), "inside");
    EXPECT_EQ(open("relative/hosts"), "inside");
    EXPECT_EQ(open("above"), "absent");
    EXPECT_EQ(open("magic"), "absent");
    EXPECT_EQ(open("loop"), "refused");
    EXPECT_EQ(open("etc/hosts/below"), "absent");
}

TEST_F(PathTest, BeneathRefusesWhatLeadsOut) {
    const auto open = [&](const char* path) { return content(open_beneath(root_.get(), path, O_RDONLY)); };
    EXPECT_EQ(open("etc/hosts"), "inside");
    EXPECT_EQ(open("relative/hosts"), "inside");
    EXPECT_EQ(open("absolute"), "refused");
    EXPECT_EQ(open("above"), "refused");
    EXPECT_EQ(open("/etc/hosts"), "refused");
    EXPECT_EQ(open("../secret"), "refused");
}

TEST_F(PathTest, NoSymlinksRefusesEveryLink) {
    const auto open = [&](const char* path) {
        return content(open_no_symlinks(root_.get(), path, O_RDONLY));
    };
    EXPECT_EQ(open("etc/hosts"), "inside");
    EXPECT_EQ(open("relative/hosts"), "refused");
    EXPECT_EQ(open("absolute"), "refused");
}

TEST_F(PathTest, CreatingTakesTheMode) {
    const auto made = open_beneath(root_.get(), "new", O_WRONLY | O_CREAT | O_EXCL, 0640);
    ASSERT_TRUE(made);
    struct stat info{};
    ASSERT_EQ(::fstat(made->get(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0640U);
    EXPECT_EQ(content(open_in_root(root_.get(), std::string("a\0b", 3), O_RDONLY)), "refused");
}

TEST_F(PathTest, DirectoriesAreMadeBehindLinksInside) {
    link("/deep", "outward");
    ASSERT_TRUE(make_directories_in_root(root_.get(), "/deep", 0755));
    ASSERT_TRUE(make_directories_in_root(root_.get(), "outward/a//b/", 0755));
    EXPECT_TRUE(path_exists(dir_ + "/root/deep/a/b"));
    EXPECT_FALSE(path_exists("/deep"));
    EXPECT_FALSE(make_directories_in_root(root_.get(), "a/../b", 0755));
    EXPECT_FALSE(make_directories_in_root(root_.get(), "etc/hosts/x", 0755));
}

TEST_F(PathTest, SwappedLinkNeverLeadsOut) {
    ASSERT_TRUE(make_directory(dir_ + "/root/swap"));
    ASSERT_TRUE(write_file_atomic(dir_ + "/root/swap/secret", "inside"));
    ASSERT_EQ(::symlink(dir_.c_str(), (dir_ + "/root/evil").c_str()), 0);
    std::atomic<bool> stop = false;
    const std::jthread swapper([&] {
        while (!stop) {
            ::renameat2(root_.get(), "swap", root_.get(), "evil", RENAME_EXCHANGE);
        }
    });
    for (int i = 0; i < 2000; ++i) {
        EXPECT_NE(content(open_in_root(root_.get(), "swap/secret", O_RDONLY)), "outside");
        EXPECT_NE(content(open_beneath(root_.get(), "swap/secret", O_RDONLY)), "outside");
    }
    stop = true;
}

}  // namespace
}  // namespace lxmgr::sys
