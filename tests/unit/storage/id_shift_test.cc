#include "storage/tree/id_shift.h"

#include <gtest/gtest.h>

#include "storage/carried_map.h"

namespace lxmgr::storage {
namespace {

const sys::IdMap kMap{.uids = {{0, 1'000'000, 1000}, {1000, 1000, 1}, {1001, 1'001'001, 64535}},
                      .gids = {{0, 2'000'000, 65536}}};
const sys::IdMap kOther{.uids = {{0, 5'000'000, 65536}}, .gids = {{0, 5'000'000, 65536}}};

TEST(IdShiftTest, GoesToTheMapAndBack) {
    const IdShift there(nullptr, &kMap), back(&kMap, nullptr), across(&kMap, &kOther);
    EXPECT_EQ(there.uid(33), 1'000'033U);
    EXPECT_EQ(there.uid(1000), 1000U);
    EXPECT_EQ(there.gid(33), 2'000'033U);
    EXPECT_EQ(back.uid(1'000'033), 33U);
    EXPECT_EQ(back.uid(1000), 1000U);
    EXPECT_EQ(across.uid(1'000'033), 5'000'033U);
    EXPECT_EQ(across.gid(2'000'033), 5'000'033U);
}

TEST(IdShiftTest, IdsOutsideTheMapBecomeNobody) {
    EXPECT_EQ(IdShift(nullptr, &kOther).uid(70'000), 65534U);
    EXPECT_EQ(IdShift(&kMap, nullptr).uid(5), 65534U);
}

TEST(IdShiftTest, CapabilityGetsTheRootOfItsNamespace) {
    const std::string v2("\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    const std::string v3 = IdShift(nullptr, &kMap).xattr("security.capability", v2);
    ASSERT_EQ(v3.size(), 24U);
    EXPECT_EQ(v3.substr(0, 4), std::string("\x01\0\0\x03", 4));
    EXPECT_EQ(v3.substr(20), std::string("\x40\x42\x0f\0", 4));
    EXPECT_EQ(IdShift(&kMap, nullptr).xattr("security.capability", v3), v2);
    EXPECT_EQ(IdShift(&kMap, &kOther).xattr("security.capability", v3).substr(20),
              std::string("\x40\x4b\x4c\0", 4));
}

TEST(IdShiftTest, MalformedAndOtherValuesAreKept) {
    const IdShift shift(nullptr, &kMap);
    for (const char* name : {"security.capability", "system.posix_acl_access", "user.x"}) {
        for (const std::string value : {"", "x", "\x02\0\0"})
            EXPECT_EQ(shift.xattr(name, value), value) << name;
    }
}

TEST(CarriedMapTest, NameHoldsTheWholeMap) {
    const std::string name = map_to_name(kMap).value();
    EXPECT_EQ(name, "u0-1000000-1000,u1000-1000-1,u1001-1001001-64535,g0-2000000-65536");
    EXPECT_EQ(map_from_name(name), kMap);
    for (const char* bad : {"", "x", "u1-2", "u1-2-3,", "u1-2-4294967296", "w1-2-3", "u1-2-x"}) {
        EXPECT_FALSE(map_from_name(bad)) << bad;
    }
}

TEST(CarriedMapTest, MapTooLongForAFileNameIsRefused) {
    sys::IdMap map;
    for (std::uint32_t i = 0; i < 40; ++i) map.uids.push_back({i, 1'000'000 + 2 * i, 1});
    EXPECT_EQ(map_to_name(map).error().status, Status::bad_request);
}

}  // namespace
}  // namespace lxmgr::storage
