#include "storage/overlay/staging.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lxd-daemon/base/files.h"

namespace lxmgr::storage {
namespace {

class StagingTest : public testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    }
};

TEST_F(StagingTest, ThreadSeesNothingOfTheHost) {
    Staging staging;
    struct stat root{}, etc{};
    const auto ran = staging.run([&]() -> Result<UniqueFd> {
        if (::stat("/etc", &etc) == 0) return fail(Status::internal, "the host's /etc is visible");
        if (::stat(Staging::kLower, &root) != 0) return fail_errno("stat", Staging::kLower);
        return UniqueFd();
    });
    EXPECT_TRUE(ran) << ran.error().message;
    EXPECT_TRUE(path_exists("/etc")) << "the caller's thread has lost its root";
    EXPECT_EQ(read_file("/proc/self/mountinfo").value().find("lxmgr-staging"), std::string::npos);
}

TEST_F(StagingTest, FailedWorkReturnsItsErrorAndTheThreadServesOn) {
    Staging staging;
    const auto bad = staging.run([]() -> Result<UniqueFd> { return fail(Status::conflict, "no"); });
    EXPECT_EQ(bad.error().status, Status::conflict);
    EXPECT_TRUE(staging.run([]() -> Result<UniqueFd> { return UniqueFd(); }));
}

}  // namespace
}  // namespace lxmgr::storage
