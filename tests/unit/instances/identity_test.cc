#include "lxd-daemon/instances/identity.h"

#include <gtest/gtest.h>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/names.h"

namespace lxmgr::instances {
namespace {

TEST(HostsTest, ReplacesTheNameAndKeepsTheRest) {
    EXPECT_EQ(hosts_with_name("127.0.0.1 localhost\n127.0.1.1\told\n10.0.0.1 other", "new"),
              "127.0.0.1 localhost\n127.0.1.1\tnew\n10.0.0.1 other\n");
}

TEST(HostsTest, AddsTheLineWhereThereIsNone) {
    EXPECT_EQ(hosts_with_name("127.0.0.1 localhost\n", "new"), "127.0.0.1 localhost\n127.0.1.1\tnew\n");
    EXPECT_NE(hosts_with_name("", "new").find("localhost"), std::string::npos);
}

TEST(NamesTest, RandomNamesAreValid) {
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(is_dns_label(random_name()));
}

}  // namespace
}  // namespace lxmgr::instances
