#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "lxd-daemon/base/files.h"
#include "tests/conformance/pool_fixture.h"
#include "tests/conformance/sample.h"

namespace lxmgr::conformance {
namespace {

class SourceTest : public PoolTest {
protected:
    void SetUp() override {
        PoolTest::SetUp();
        if (IsSkipped()) return;
        if (GetParam().driver == "lvm") GTEST_SKIP() << "takes no directories";
        const auto keys = storage::find_driver(GetParam().driver)->config_keys;
        if (std::ranges::find(keys, "source") == keys.end()) GTEST_SKIP() << "has no source key";
        source_ = path_ + "/source";
        ASSERT_EQ(::mkdir(source_.c_str(), 0755), 0);
    }

    Result<std::unique_ptr<storage::Driver>> open_at(const std::string& source, const std::string& state) {
        storage::PoolConfig config = pool_config(state);
        config.config["source"] = source;
        LX_TRY_AS(auto driver, storage::find_driver(GetParam().driver)->open(config, *idmaps_));
        LX_TRY(driver->open_pool());
        return driver;
    }

    std::string source_;
};
INSTANTIATE_TEST_SUITE_P(Every, SourceTest, testing::ValuesIn(cases()), case_name);

TEST_P(SourceTest, PoolLivesThereAndLeavesItEmpty) {
    const std::string state = path_ + "/state";
    {
        auto driver = open_at(source_, state);
        ASSERT_TRUE(driver) << driver.error().message;
        EXPECT_OK((*driver)->create_volume(container("a"), [](int root) { return fill_sample(root, "a"); }));
        EXPECT_TRUE(path_exists(source_ + "/containers/a"));
    }
    EXPECT_STATUS(open_at(source_, path_ + "/other"), Status::bad_request);
    auto driver = open_at(source_, state);
    ASSERT_TRUE(driver) << driver.error().message;
    EXPECT_TRUE((*driver)->has_volume(container("a")));
    EXPECT_OK((*driver)->delete_volume(container("a")));
    EXPECT_OK((*driver)->delete_pool());
    EXPECT_FALSE(path_exists(state));
    EXPECT_EQ(::rmdir(source_.c_str()), 0) << "not empty";
}

TEST_P(SourceTest, BadSourcesAreRefused) {
    ASSERT_EQ(::mkdir((source_ + "/full").c_str(), 0755), 0);
    ASSERT_EQ(::mkdir((source_ + "/full/x").c_str(), 0755), 0);
    ASSERT_EQ(::mkdir((source_ + "/open").c_str(), 0755), 0);
    ASSERT_EQ(::chmod((source_ + "/open").c_str(), 0777), 0);
    ASSERT_EQ(::symlink("open", (source_ + "/link").c_str()), 0);
    for (const std::string bad : {"", "/", "relative", "/tmp/../tmp", "/a\nb", "/nowhere/at/all"}) {
        SCOPED_TRACE(bad);
        // Then it is a file of its own.
        if (bad.empty() && storage::find_driver(GetParam().driver)->prepare != nullptr) continue;
        EXPECT_STATUS(open_at(bad, path_ + "/state"), Status::bad_request);
    }
    for (const char* bad : {"/full", "/open", "/link", "/full/../open"}) {
        SCOPED_TRACE(bad);
        EXPECT_STATUS(open_at(source_ + bad, path_ + "/state"), Status::bad_request);
    }
    EXPECT_TRUE(path_exists(source_ + "/full/x"));
}

}  // namespace
}  // namespace lxmgr::conformance
