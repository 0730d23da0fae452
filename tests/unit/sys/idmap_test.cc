#include "lxd-daemon/sys/idmap.h"

#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

namespace lxmgr::sys {
namespace {

constexpr unsigned long kGetOwnerUid = 0xb704;  // NS_GET_OWNER_UID, ioctl_ns(2)

IdMap map_at(std::uint32_t first) { return {{{0, first, 65536}}, {{0, first, 65536}}}; }

TEST(IdMapTest, HostIdsFollowTheRanges) {
    const IdMap map{{{0, 100000, 1000}, {1000, 500, 1}, {1001, 101001, 10}}, {{0, 200000, 5}}};
    EXPECT_EQ(map.host_uid(0), 100000U);
    EXPECT_EQ(map.host_uid(999), 100999U);
    EXPECT_EQ(map.host_uid(1000), 500U);
    EXPECT_EQ(map.host_uid(1010), 101010U);
    EXPECT_EQ(map.host_uid(1011), 65534U);
    EXPECT_EQ(map.host_gid(4), 200004U);
    EXPECT_EQ(map.host_gid(5), 65534U);
    EXPECT_EQ(IdMap::to_proc(map.uids), "0 100000 1000\n1000 500 1\n1001 101001 10\n");
}

TEST(IdMapTest, RangeAtTheEndOfTheIdsDoesNotWrap) {
    const IdMap map{{{4294900000U, 1000, 50000}}, {}};
    EXPECT_EQ(map.host_uid(4294949999U), 50999U);
    EXPECT_EQ(map.host_uid(0), 65534U);
}

class UserNamespaceTest : public testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root: maps of other users' ids";
    }
};

TEST_F(UserNamespaceTest, HoldsNoProcess) {
    const auto fd = make_user_namespace(map_at(1'000'000));
    ASSERT_TRUE(fd) << fd.error().message;
    uid_t owner = 1;
    EXPECT_EQ(::ioctl(fd->get(), kGetOwnerUid, &owner), 0);
    EXPECT_EQ(owner, 0U);
    EXPECT_EQ(::waitpid(-1, nullptr, __WALL | WNOHANG), -1);
}

TEST_F(UserNamespaceTest, ImpossibleMapIsAnErrorAndLeavesNothing) {
    const IdMap overlapping{{{0, 1000, 10}, {5, 2000, 10}}, {{0, 1000, 10}}};
    EXPECT_FALSE(make_user_namespace(overlapping));
    EXPECT_EQ(::waitpid(-1, nullptr, __WALL | WNOHANG), -1);
}

TEST_F(UserNamespaceTest, CacheGivesOneNamespacePerMap) {
    IdmapCache cache;
    const auto first = cache.get(map_at(1'000'000));
    const auto other = cache.get(map_at(2'000'000));
    ASSERT_TRUE(first && other);
    EXPECT_EQ(*cache.get(map_at(1'000'000)), *first);
    EXPECT_NE(*first, *other);
}

TEST_F(UserNamespaceTest, ManyThreadsMayMakeThem) {
    std::vector<std::jthread> threads;
    for (std::uint32_t i = 0; i < 16; ++i) {
        threads.emplace_back([i] { EXPECT_TRUE(make_user_namespace(map_at(1'000'000 + i * 65536))); });
    }
}

}  // namespace
}  // namespace lxmgr::sys
