#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/sys/credentials.h"
#include "tests/conformance/pool_fixture.h"
#include "tests/conformance/sample.h"

namespace lxmgr::conformance {
namespace {

constexpr std::uint64_t kMiB = 1U << 20U;

/// What only volumes with a file system of their own have: other file systems, and devices.
class LvmTest : public PoolTest {
public:
    static std::vector<Case> all() {
        std::vector<Case> out;
        if (!has_device_mapper()) return out;
        for (const char* file_system : {"", "xfs", "btrfs"})
            out.push_back({"lvm", "ext4", Kernel::as_it_is, file_system});
        return out;
    }

protected:
    static storage::Volume limited(const std::string& name, std::uint64_t mebibytes) {
        return {storage::VolumeType::container, name, mebibytes * kMiB};
    }
    static std::uint64_t shown_size(int root) {
        struct statvfs info{};
        EXPECT_EQ(::fstatvfs(root, &info), 0);
        return info.f_blocks * info.f_frsize;
    }
    /// The kernel takes devices away behind the back of who closed them.
    bool becomes_idle() const {
        for (int tries = 0; tries < 200; ++tries) {
            if (!is_active("-lxv_")) return true;
        }
        return false;
    }
    /// Any device of the pool whose name goes on so.
    bool is_active(const char* name) const {
        return run_checked({{"dmsetup", "ls"}}).value().contains(pool_config(path_).name + name);
    }
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(LvmTest);
INSTANTIATE_TEST_SUITE_P(Every, LvmTest, testing::ValuesIn(LvmTest::all()), case_name);

TEST_P(LvmTest, OriginalAndCopiesAreMountedSideBySide) {
    add_image("f", "x");
    add_container("a", "f");
    const UniqueFd a = mount(container("a"), kBase);
    expect_sample(a.get(), kBase, "x");
    EXPECT_OK(driver_->create_copy(snapshot("s"), container("a"), {}));
    const UniqueFd s = mount(snapshot("s"), kBase);
    EXPECT_OK(driver_->create_copy(container("b"), snapshot("s"), {}));
    const UniqueFd b = mount(container("b"), kBase);
    const auto ids = sys::ScopedFsIds::become(kBase, kBase);
    write_at(a.get(), "etc/hostname", "of a");
    write_at(b.get(), "etc/hostname", "of b");
    EXPECT_EQ(read_at(s.get(), "etc/hostname"), "x");
    EXPECT_EQ(read_at(mount(container("a"), kBase).get(), "etc/hostname"), "of a");
}

TEST_P(LvmTest, GrownWhileInUseAndNotShrunk) {
    EXPECT_OK(driver_->create_volume(limited("a", 320), [](int root) { return fill_sample(root, "x"); }));
    {
        const UniqueFd root = mount(container("a"), kBase);
        const auto before = shown_size(root.get());
        EXPECT_LE(before, 320 * kMiB);
        EXPECT_OK(driver_->resize_volume(limited("a", 480), true));
        EXPECT_GT(shown_size(root.get()), before + 100 * kMiB);
        EXPECT_STATUS(driver_->resize_volume(limited("a", 400), true), Status::bad_request);
        expect_sample(root.get(), kBase, "x");
    }
    EXPECT_OK(driver_->resize_volume(limited("a", 400), false));
    const UniqueFd root = mount(container("a"), kBase);
    EXPECT_LE(shown_size(root.get()), 400 * kMiB);
    expect_sample(root.get(), kBase, "x");
    EXPECT_STATUS(driver_->create_volume(limited("b", 4), {}), Status::bad_request);
    EXPECT_TRUE(entries("tmp").empty());
}

TEST_P(LvmTest, DevicesGoWithTheirLastUser) {
    EXPECT_OK(driver_->create_volume(container("a"), {}));
    EXPECT_TRUE(becomes_idle());
    {
        const UniqueFd root = mount(container("a"), kBase);
        EXPECT_TRUE(is_active("-lxv_"));
        mount(container("a"), kBase);
        EXPECT_TRUE(is_active("-lxv_"));
    }
    EXPECT_TRUE(becomes_idle());
    EXPECT_OK(driver_->delete_volume(container("a")));
    EXPECT_OK(driver_->delete_pool());
    EXPECT_FALSE(is_active(""));
}

TEST_P(LvmTest, AFullPoolEndsItsWritersAndNobodyElse) {
    EXPECT_OK(driver_->create_volume(container("a"), [](int root) { return fill_sample(root, "x"); }));
    EXPECT_OK(driver_->create_volume(container("b"), {}));
    {
        const UniqueFd root = mount(container("b"), kBase);
        const auto ids = sys::ScopedFsIds::become(kBase, kBase);
        const UniqueFd file(::openat(root.get(), "big", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        const std::string block(4 * kMiB, 'x');
        int written = 0;
        while (written < 400 && ::write(file.get(), block.data(), block.size()) > 0 &&
               ::fsync(file.get()) == 0)
            ++written;
        EXPECT_LT(written, 300);
        EXPECT_GT(written, 150);
    }
    EXPECT_EQ(driver_->create_volume(container("c"), {}).has_value(), false);
    EXPECT_OK(driver_->delete_volume(container("b")));
    expect_sample(mount(container("a"), kBase).get(), kBase, "x");
    EXPECT_OK(driver_->create_volume(container("c"), [](int root) { return fill_sample(root, "c"); }));
    expect_sample(mount(container("c"), kBase).get(), kBase, "c");
    EXPECT_TRUE(entries("tmp").empty());
}

}  // namespace
}  // namespace lxmgr::conformance
