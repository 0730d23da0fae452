#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "lxd-daemon/sys/credentials.h"
#include "tests/conformance/ground.h"
#include "tests/conformance/pool_fixture.h"
#include "tests/conformance/sample.h"

namespace lxmgr::conformance {
namespace {

constexpr std::uint64_t kMiB = 1U << 20U;

/// This thread without CAP_SYS_RESOURCE, which no container has outside and with which ext4 ignores quotas.
class WithoutResources {
public:
    WithoutResources() {
        EXPECT_EQ(::syscall(SYS_capget, &header_, before_.data()), 0);
        auto less = before_;
        less[0].effective &= ~(1U << CAP_SYS_RESOURCE);
        EXPECT_EQ(::syscall(SYS_capset, &header_, less.data()), 0);
    }
    WithoutResources(WithoutResources&&) = delete;
    ~WithoutResources() { EXPECT_EQ(::syscall(SYS_capset, &header_, before_.data()), 0); }

private:
    __user_cap_header_struct header_{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> before_{};
};

class LimitsTest : public PoolTest {
protected:
    static storage::Volume limited(const std::string& name, std::uint64_t mebibytes) {
        return {storage::VolumeType::container, name, mebibytes * kMiB};
    }
    /// Writes as the container's root until it may not: MiB that went in.
    std::uint64_t fill(int root, const char* name, std::uint64_t most) {
        const WithoutResources no_more_than_inside;
        const auto ids = sys::ScopedFsIds::become(kBase, kBase);
        const UniqueFd file(::openat(root, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        EXPECT_TRUE(file);
        const std::string block(kMiB, 'x');
        for (std::uint64_t i = 0; i < most; ++i) {
            if (::write(file.get(), block.data(), block.size()) != static_cast<ssize_t>(block.size()))
                return i;
            if (::fsync(file.get()) != 0) return i;
        }
        return most;
    }
};
std::vector<Case> with_quotas() {
    auto all = cases();
    for (const auto name : kWithQuotas) {
        for (const char* driver : {"dir", "overlay"}) all.push_back({driver, std::string(name)});
    }
    return all;
}
INSTANTIATE_TEST_SUITE_P(Every, LimitsTest, testing::ValuesIn(with_quotas()), case_name);

TEST_P(LimitsTest, NobodyWritesBeyondAndTheNeighboursGoOn) {
    add_image("f", "x");
    add_container("b", "f");
    EXPECT_OK(driver_->create_from_image(limited("a", 32), "f"));
    EXPECT_EQ(driver_->volume_limit(container("a")).value(), 32 * kMiB);
    EXPECT_EQ(driver_->volume_limit(container("b")).value(), 0U);
    {
        const UniqueFd root = mount(container("a"), kBase), other = mount(container("b"), kBase);
        const auto written = fill(root.get(), "big", 64);
        EXPECT_LE(written, 32U);
        EXPECT_GE(written, 16U);
        EXPECT_EQ(fill(other.get(), "big", 40), 40U);
        expect_sample(root.get(), kBase, "x");
    }
    EXPECT_LE(driver_->usage_bytes(container("a")).value(), 33 * kMiB);
    EXPECT_OK(driver_->delete_volume(container("a")));
    EXPECT_TRUE(entries("tmp").empty());
}

TEST_P(LimitsTest, ChangesOfTheLimitKeepTheContent) {
    add_image("f", "x");
    add_container("a", "f");
    for (const std::uint64_t size : {24U, 64U, 40U, 0U, 32U}) {
        EXPECT_OK(driver_->resize_volume(limited("a", size), false));
        EXPECT_EQ(driver_->volume_limit(container("a")).value(), size * kMiB);
        const UniqueFd root = mount(container("a"), kBase);
        expect_sample(root.get(), kBase, "x");
    }
    EXPECT_LE(fill(mount(container("a"), kBase).get(), "big", 64), 32U);
    reopen();
    EXPECT_EQ(driver_->volume_limit(container("a")).value(), 32 * kMiB);
    EXPECT_TRUE(entries("tmp").empty());
}

TEST_P(LimitsTest, QuotasAreRaisedAndLoweredWhileInUse) {
    const bool has_quotas = GetParam().driver == "btrfs" || GetParam().file_system.ends_with("_prjquota");
    if (!has_quotas) return;
    EXPECT_OK(driver_->create_volume(container("a"), {}));
    const UniqueFd root = mount(container("a"), kBase);
    for (const std::uint64_t size : {24U, 64U, 32U}) {
        EXPECT_OK(driver_->resize_volume(limited("a", size), true));
        EXPECT_EQ(driver_->volume_limit(container("a")).value(), size * kMiB);
    }
    EXPECT_LE(fill(root.get(), "big", 64), 32U);
}

TEST_P(LimitsTest, LessThanItHoldsIsRefused) {
    add_image("f", "x");
    EXPECT_OK(driver_->create_from_image(limited("a", 64), "f"));
    EXPECT_EQ(fill(mount(container("a"), kBase).get(), "big", 24), 24U);
    EXPECT_STATUS(driver_->resize_volume(limited("a", 12), false), Status::bad_request);
    EXPECT_EQ(driver_->volume_limit(container("a")).value(), 64 * kMiB);
    EXPECT_STATUS(driver_->create_copy(limited("b", 12), container("a"), {}), Status::bad_request);
    EXPECT_FALSE(driver_->has_volume(container("b")));
    EXPECT_OK(driver_->create_copy(limited("b", 48), container("a"), {}));
    expect_sample(mount(container("b"), kBase).get(), kBase, "x");
    EXPECT_TRUE(entries("tmp").empty());
}

TEST_P(LimitsTest, CopiesOfALimitedVolumeAreWhole) {
    EXPECT_OK(driver_->create_volume(limited("a", 32), [](int root) { return fill_sample(root, "x"); }));
    EXPECT_OK(driver_->create_copy(snapshot("s"), container("a"), {}));
    EXPECT_EQ(driver_->volume_limit(snapshot("s")).value(), 0U);
    EXPECT_OK(driver_->create_copy({storage::VolumeType::snapshot, "t", 40 * kMiB}, snapshot("s"), {}));
    EXPECT_OK(driver_->swap_volumes(container("a"), snapshot("t")));
    EXPECT_EQ(driver_->volume_limit(container("a")).value(), 40 * kMiB);
    expect_sample(mount(container("a"), kBase).get(), kBase, "x");
    expect_sample(mount(snapshot("s"), kBase).get(), kBase, "x");
    EXPECT_OK(driver_->rename_volume(container("a"), "b"));
    EXPECT_OK(driver_->delete_volume(container("b")));
}

}  // namespace
}  // namespace lxmgr::conformance
