#include "storage/overlay/evident.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "lxd-daemon/base/own.h"

namespace lxmgr::storage {
namespace {

namespace fs = std::filesystem;

class EvidentTest : public testing::Test {
protected:
    void SetUp() override {
        std::string text = (fs::temp_directory_path() / "lxmgr-evident-XXXXXX").string();
        ASSERT_NE(::mkdtemp(text.data()), nullptr);
        path_ = text;
        for (const char* tree : {"upper", "lower"}) fs::create_directories(path_ / tree / "etc");
        write("lower/etc/passwd", "root", 100);
    }
    void TearDown() override { fs::remove_all(path_); }

    void write(const std::string& name, const std::string& content, time_t changed) const {
        std::ofstream(path_ / name) << content;
        const timespec times[2]{{changed, 7}, {changed, 7}};
        ASSERT_EQ(::utimensat(AT_FDCWD, (path_ / name).c_str(), times, 0), 0);
    }
    [[nodiscard]] bool evident() const {
        const auto open = [&](const char* tree) {
            return UniqueFd(::open((path_ / tree).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        };
        const auto out = differs_evidently(open("upper").get(), open("lower").get());
        EXPECT_TRUE(out.has_value());
        return out && *out;
    }

    fs::path path_;
};

TEST_F(EvidentTest, HoldsForOtherSizesTimesAndNames) {
    write("upper/etc/passwd", "root", 101);
    write("upper/etc/new", "root", 100);
    fs::create_directories(path_ / "upper/srv/deep");
    EXPECT_TRUE(evident());
    write("upper/etc/passwd", "longer", 100);
    EXPECT_TRUE(evident());
}

TEST_F(EvidentTest, HoldsForTheSameContent) {
    write("upper/etc/passwd", "root", 100);
    EXPECT_TRUE(evident());
}

TEST_F(EvidentTest, DoesNotHoldForOtherContentThatLooksAlike) {
    write("upper/etc/passwd", "toor", 100);
    EXPECT_FALSE(evident());
}

TEST_F(EvidentTest, DoesNotHoldForMovedDirectories) {
    fs::create_directories(path_ / "upper/etc/moved");
    if (::setxattr((path_ / "upper/etc/moved").c_str(), "trusted.overlay.redirect", "old", 3, 0) != 0)
        GTEST_SKIP() << "no trusted xattrs here";
    EXPECT_FALSE(evident());
}

}  // namespace
}  // namespace lxmgr::storage
