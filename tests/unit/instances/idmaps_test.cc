#include "lxd-daemon/instances/idmaps.h"

#include <gtest/gtest.h>

namespace lxmgr::instances {
namespace {

TEST(HostRangeTest, DefaultsWhenRootHasNoUsableRange) {
    for (const char* text : {"", "user:100000:65536\n", "root:x:65536", "root:100000:1000", "root:5:65536",
                             "root:4294900000:65536999999"}) {
        EXPECT_EQ(host_range(text).first, 1'000'000U) << text;
        EXPECT_EQ(host_range(text).count, 1'000'000'000U) << text;
    }
}

TEST(HostRangeTest, TakesRootsFirstRange) {
    const HostRange range = host_range("user:1:1\nroot:200000:131072\nroot:900000:65536\n");
    EXPECT_EQ(range.first, 200000U);
    EXPECT_EQ(range.count, 131072U);
}

TEST(OwnerUidTest, DiffersByInstanceAndLiesOutsideTheMap) {
    const sys::IdMap map{{{0, 1'000'000, 1'000'000'000}}, {}};
    const auto one = owner_uid("/var/lib/lxmgr", 1, map);
    EXPECT_NE(one, owner_uid("/var/lib/lxmgr", 2, map));
    EXPECT_GT(one, 1'001'000'000U);
    const sys::IdMap wide{{{0, one, 1}}, {}};
    EXPECT_NE(owner_uid("/var/lib/lxmgr", 1, wide), one);
}

TEST(IdmapJsonTest, IsLxdsForm) {
    const sys::IdMap map{{{0, 1000000, 65536}}, {{0, 2000000, 65536}}};
    EXPECT_EQ(idmap_json(map), R"([{"Isuid":true,"Isgid":false,"Hostid":1000000,"Nsid":0,"Maprange":65536},)"
                               R"({"Isuid":false,"Isgid":true,"Hostid":2000000,"Nsid":0,"Maprange":65536}])");
}

TEST(IdmapJsonTest, IsReadBack) {
    const sys::IdMap map{{{0, 1000000, 1000}, {1000, 5, 1}}, {{0, 2000000, 65536}}};
    EXPECT_EQ(*idmap_from_json(idmap_json(map)), map);
    EXPECT_TRUE(idmap_from_json(idmap_json(sys::IdMap::host()))->is_host());
    for (const char* text : {"", "{}", "[1]", "[{}]", R"([{"Isuid":true,"Hostid":1}])"}) {
        EXPECT_FALSE(idmap_from_json(text)) << text;
    }
}

class ChooseIdmapTest : public ::testing::Test {
protected:
    static Result<IdmapChoice> choose(IdmapWish wish, const std::vector<sys::IdMap>& taken = {},
                                      const IdmapChoice& before = {}) {
        const HostIds host = HostIds::parse("root:1000000:1000000\nroot:33:1\n", "root:1000000:1000000\n");
        return choose_idmap(host, wish, before, taken);
    }
    static IdmapWish isolated(std::uint32_t base = 0, std::uint32_t size = 0) {
        IdmapWish wish;
        wish.isolated = true;
        wish.base = base;
        wish.size = size;
        return wish;
    }
};

TEST_F(ChooseIdmapTest, SharedMapIsTheFirstHalf) {
    EXPECT_EQ(choose({})->map.uids, (std::vector<sys::IdRange>{{0, 1000000, 500000}}));
    EXPECT_EQ(choose({})->base, 0U);
}

TEST_F(ChooseIdmapTest, OwnRangesFillTheRest) {
    std::vector<sys::IdMap> taken;
    std::vector<std::uint32_t> bases;
    for (int i = 0; i < 7; ++i) {
        const auto choice = choose(isolated(), taken);
        ASSERT_TRUE(choice);
        bases.push_back(choice->base);
        taken.push_back(choice->map);
    }
    EXPECT_EQ(bases.front(), 1500000U);
    EXPECT_EQ(bases.back(), 1500000U + 6 * 65536U);
    EXPECT_FALSE(choose(isolated(), taken)) << "there is no eighth";
    taken.erase(taken.begin() + 3);
    EXPECT_EQ(choose(isolated(), taken)->base, bases[3]) << "what was given back is used again";
}

TEST_F(ChooseIdmapTest, RangeIsKeptForLife) {
    const auto first = choose(isolated());
    EXPECT_EQ(
        choose(isolated(), {}, IdmapChoice{{{{0, 1700000, 65536}}, {{0, 1700000, 65536}}}, 1700000})->base,
        1700000U);
    const auto moved = choose(isolated(), {first->map}, *first);
    EXPECT_NE(moved->base, first->base) << "but not one that is another's";
}

TEST_F(ChooseIdmapTest, BaseMustBeFreeAndTheHosts) {
    EXPECT_EQ(choose(isolated(1200000, 10))->map.uids[0].count, 10U);
    EXPECT_FALSE(choose(isolated(5)));
    EXPECT_FALSE(choose(isolated(1999999, 2)));
    EXPECT_FALSE(choose(isolated(1200009), {choose(isolated(1200000, 10))->map}));
}

TEST_F(ChooseIdmapTest, RawRangesAreCutOut) {
    IdmapWish wish;
    wish.raw = "uid 33 33\nboth 1000010 100";
    const auto map = choose(wish)->map;
    EXPECT_EQ(map.uids, (std::vector<sys::IdRange>{{0, 1000000, 10},
                                                   {11, 1000011, 22},
                                                   {33, 33, 1},
                                                   {34, 1000034, 66},
                                                   {100, 1000010, 1},
                                                   {101, 1000101, 499899}}));
    wish.raw = "gid 33 33";
    const auto refused = choose(wish);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("/etc/subgid"), std::string::npos);
}

}  // namespace
}  // namespace lxmgr::instances
