#include "storage/limits/image_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "lxd-daemon/base/spawn.h"

namespace lxmgr::storage {
namespace {

namespace fs = std::filesystem;

class FileSystemBytesTest : public testing::Test {
protected:
    void SetUp() override {
        std::string text = (fs::temp_directory_path() / "lxmgr-ext4-XXXXXX").string();
        ASSERT_NE(::mkdtemp(text.data()), nullptr);
        base_ = text;
        std::ofstream{image()};
    }
    void TearDown() override { fs::remove_all(base_); }
    [[nodiscard]] std::string image() const { return base_ / "image"; }
    void format(const std::string& features, const char* block_bytes) {
        const auto made =
            run_checked({{"mkfs.ext4", "-q", "-F", "-b", block_bytes, "-O", features, image()}});
        ASSERT_TRUE(made) << made.error().message;
    }
    fs::path base_;
};

// A file that is longer than the file system in it is what a growth that failed has to look at.
TEST_F(FileSystemBytesTest, IsWhatTheSuperblockSays) {
    for (const char* features : {"64bit", "^64bit"}) {
        for (const char* block_bytes : {"1024", "4096"}) {
            for (const std::uint64_t size : {std::uint64_t{16} << 20U, std::uint64_t{96} << 20U}) {
                fs::resize_file(image(), size);
                format(features, block_bytes);
                fs::resize_file(image(), size * 3);
                const auto found = file_system_bytes(image());
                ASSERT_TRUE(found) << found.error().message;
                EXPECT_EQ(*found, size) << features << " " << block_bytes;
            }
        }
    }
}

TEST_F(FileSystemBytesTest, WhatIsTooShortIsAnError) { EXPECT_FALSE(file_system_bytes(image())); }

}  // namespace
}  // namespace lxmgr::storage
