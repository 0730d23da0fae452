#include "storage/pool_directory.h"

#include <gtest/gtest.h>

namespace lxmgr::storage {
namespace {

PoolConfig with_source(const std::string& source) { return {"p", "/state/p", {{"source", source}}}; }

TEST(PoolDirectoryTest, SourceMustBeAPlainAbsolutePath) {
    EXPECT_TRUE(PoolDirectory::check({"p", "/state/p", {}}));
    EXPECT_TRUE(PoolDirectory::check(with_source("/srv/pool")));
    for (const char* bad : {"", "/", "pool", "./pool", "/srv/../etc", "/srv/./x", "/srv/a\tb", "/srv/\xff"}) {
        EXPECT_EQ(PoolDirectory::check(with_source(bad)).error().status, Status::bad_request) << bad;
    }
}

TEST(RegistryTest, EveryDriverIsFoundByItsName) {
    ASSERT_FALSE(drivers().empty());
    for (const auto& entry : drivers()) EXPECT_EQ(find_driver(entry.name), &entry);
    EXPECT_EQ(find_driver("none"), nullptr);
}

}  // namespace
}  // namespace lxmgr::storage
