#include <fcntl.h>
#include <linux/btrfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "tests/conformance/pool_fixture.h"
#include "tests/conformance/sample.h"

namespace lxmgr::conformance {
namespace {

/// Subvolumes that a guest makes in its own root.
class NestedTest : public PoolTest {
protected:
    static std::vector<Case> cases_with_subvolumes() {
        std::vector<Case> all;
        for (const auto& one : cases()) {
            if (one.driver == "btrfs" && one.kernel == Kernel::as_it_is) all.push_back(one);
        }
        return all;
    }
    static void make(int root, const std::string& directory, const char* name) {
        const UniqueFd parent(::openat(root, directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        btrfs_ioctl_vol_args_v2 args{};
        std::strcpy(args.name, name);
        ASSERT_EQ(::ioctl(parent.get(), BTRFS_IOC_SUBVOL_CREATE_V2, &args), 0) << std::strerror(errno);
        write_at(parent.get(), std::string(name) + "/mark", directory);
    }

public:
    static std::vector<Case> all() { return cases_with_subvolumes(); }
};
INSTANTIATE_TEST_SUITE_P(Every, NestedTest, testing::ValuesIn(NestedTest::all()), case_name);

TEST_P(NestedTest, TheyComeAlongAndGoWithTheVolume) {
    add_image("f", "x");
    add_container("a", "f");
    {
        const UniqueFd root = mount(container("a"), 0);
        make(root.get(), "www", "one");
        make(root.get(), "www/one", "two");
        make(root.get(), "www/one/two", "three");
        make(root.get(), ".", "shut");
        make(root.get(), "shut", "in");
        const UniqueFd shut(::openat(root.get(), "shut", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        std::uint64_t flags = BTRFS_SUBVOL_RDONLY;
        ASSERT_EQ(::ioctl(shut.get(), BTRFS_IOC_SUBVOL_SETFLAGS, &flags), 0) << std::strerror(errno);
    }
    EXPECT_OK(driver_->create_copy(snapshot("s"), container("a"), {}));
    EXPECT_OK(driver_->delete_volume(container("a")));
    EXPECT_TRUE(entries("tmp").empty());
    EXPECT_OK(driver_->create_copy(container("a"), snapshot("s"), {}));
    {
        const UniqueFd root = mount(container("a"), 0);
        EXPECT_EQ(read_at(root.get(), "www/one/mark"), "www");
        EXPECT_EQ(read_at(root.get(), "www/one/two/mark"), "www/one");
        EXPECT_EQ(read_at(root.get(), "www/one/two/three/mark"), "www/one/two");
        EXPECT_EQ(read_at(root.get(), "shut/in/mark"), "shut");
    }
    EXPECT_OK(driver_->delete_volume(snapshot("s")));
    EXPECT_OK(driver_->delete_volume(container("a")));
    EXPECT_TRUE(entries("tmp").empty());
}

}  // namespace
}  // namespace lxmgr::conformance
