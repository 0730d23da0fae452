#include "images/trailing_hash.h"

#include <gmock/gmock.h>

#include "image_fixture.h"
#include "images/fingerprint.h"
#include "images/write_all.h"

namespace lxmgr::images {
namespace {

using testing::HasSubstr;

class TrailingHashTest : public testing::Test {
protected:
    TrailingHashTest() : hash_(*TrailingHash::open()) {}
    UniqueFd begin(const std::string& path) {
        UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        EXPECT_TRUE(hash_.begin_file(fd.get(), path));
        return fd;
    }
    /// As an upload does: in pieces of many sizes, with a little hashing now and then.
    void fill(const std::string& path, std::size_t bytes) {
        const UniqueFd fd = begin(path);
        std::size_t step = 1;
        for (std::size_t at = 0; at < bytes; at += step) {
            step = std::min(step * 3 % 700'001, bytes - at);
            ASSERT_TRUE(write_all(fd.get(), std::string(step, static_cast<char>(at)), path));
            hash_.wrote(step);
            if (at % 2 == 1) {
                ASSERT_TRUE(hash_.hash_some());
            }
        }
    }
    TempDir temp_{"/dev/shm"};
    TrailingHash hash_;
};

TEST_F(TrailingHashTest, IsThatOfTheFilesOneAfterTheOther) {
    fill(temp_ / "small", 1000);
    fill(temp_ / "empty", 0);
    fill(temp_ / "big", 20 << 20);
    const auto expected = fingerprint_of({temp_ / "small", temp_ / "big"}, {});
    const auto hash = hash_.finish({});
    ASSERT_TRUE(expected && hash);
    EXPECT_EQ(*hash, *expected);
}

TEST_F(TrailingHashTest, HashesAllWhenThereIsTime) {
    fill(temp_ / "file", 3 << 20);
    int steps = 0;
    while (*hash_.hash_some()) ++steps;
    EXPECT_GT(steps, 0);
    EXPECT_EQ(*hash_.finish({}), *fingerprint_of({temp_ / "file", ""}, {}));
}

TEST_F(TrailingHashTest, OfNothing) {
    const auto hash = hash_.finish({});
    ASSERT_TRUE(hash);
    EXPECT_EQ(*hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_F(TrailingHashTest, SaysThatAFileBecameShorter) {
    const UniqueFd fd = begin(temp_ / "file");
    hash_.wrote(1000);
    const auto hash = hash_.finish({});
    ASSERT_FALSE(hash);
    EXPECT_THAT(hash.error().message, HasSubstr(temp_ / "file"));
}

TEST_F(TrailingHashTest, CanBeStopped) {
    fill(temp_ / "file", 1000);
    std::stop_source stop;
    stop.request_stop();
    const auto hash = hash_.finish(stop.get_token());
    ASSERT_FALSE(hash);
    EXPECT_EQ(hash.error().status, Status::unavailable);
}

}  // namespace
}  // namespace lxmgr::images
