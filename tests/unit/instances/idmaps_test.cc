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

}  // namespace
}  // namespace lxmgr::instances
