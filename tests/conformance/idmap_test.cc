#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "lxd-daemon/sys/credentials.h"
#include "tests/conformance/pool_fixture.h"
#include "tests/conformance/sample.h"

namespace lxmgr::conformance {
namespace {

/// Makes a file as the container's root would, and gives it to the container's www-data.
void write_as_container(int root, std::uint32_t base, const std::string& path, std::uint32_t id) {
    const auto ids = sys::ScopedFsIds::become(base, base);
    ASSERT_TRUE(ids);
    write_at(root, path, "from inside");
    EXPECT_EQ(::fchownat(root, path.c_str(), base + id, base + id, AT_SYMLINK_NOFOLLOW), 0)
        << std::strerror(errno);
}

std::uint32_t owner(int root, const std::string& path) {
    struct stat st{};
    EXPECT_EQ(::fstatat(root, path.c_str(), &st, AT_SYMLINK_NOFOLLOW), 0) << path;
    return st.st_uid;
}

class IdmapTest : public PoolTest {};
INSTANTIATE_TEST_SUITE_P(Every, IdmapTest, testing::ValuesIn(cases()), case_name);

TEST_P(IdmapTest, EverythingAppearsShifted) {
    add_image("f", "x");
    add_container("a", "f");
    EXPECT_OK(driver_->create_volume(container("b"), [](int root) { return fill_sample(root, "b"); }));
    expect_sample(mount(container("a"), kBase).get(), kBase, "x");
    expect_sample(mount(container("b"), kBase).get(), kBase, "b");
    expect_sample(mount(image("f"), 0).get(), 0, "x");
    expect_sample(mount(image("f"), kBase).get(), kBase, "x");
}

TEST_P(IdmapTest, FilesMadeInsideAre0BasedOnDisk) {
    add_image("f", "x");
    add_container("a", "f");
    EXPECT_OK(driver_->create_volume(container("b"), {}));
    for (const auto& volume : {container("a"), container("b")}) {
        write_as_container(mount(volume, kBase).get(), kBase, "made", 33);
        EXPECT_EQ(owner(mount(volume, kBase).get(), "made"), kBase + 33);
        // Without idmapped mounts the ids of the last map are on the disk, as driver.h says.
        const std::uint32_t on_disk = GetParam().kernel == Kernel::no_idmap ? kBase + 33 : 33;
        EXPECT_EQ(owner(mount(volume, 0).get(), "made"), on_disk);
    }
}

TEST_P(IdmapTest, AnotherMapShowsTheSameFiles) {
    add_image("f", "x");
    add_container("a", "f");
    constexpr std::uint32_t kOther = 3'000'000;
    for (const std::uint32_t base : {kBase, kOther, kBase}) {
        const UniqueFd root = mount(container("a"), base);
        expect_sample(root.get(), base, "x");
        if (!exists_at(root.get(), "made")) write_as_container(root.get(), base, "made", 33);
        EXPECT_EQ(owner(root.get(), "made"), base + 33);
        EXPECT_EQ(::unlinkat(root.get(), "gone", 0) == 0, base == kOther);
        if (base == kBase) write_as_container(root.get(), base, "gone", 0);
    }
    EXPECT_TRUE(entries("tmp").empty());
}

TEST_P(IdmapTest, VolumesOutliveAnUpgradeOfTheKernelAndAFallBack) {
    add_image("f", "x");
    add_container("a", "f");
    EXPECT_OK(driver_->create_volume(container("b"), [](int root) { return fill_sample(root, "b"); }));
    write_as_container(mount(container("a"), kBase).get(), kBase, "made", 33);
    Case other = GetParam();
    for (const Kernel kernel : {Kernel::no_idmap, Kernel::as_it_is, Kernel::no_idmap}) {
        other.kernel = kernel;
        driver_ = open_driver(other, path_, *idmaps_);
        for (const std::uint32_t base : {kBase, kBase + 65536}) {
            const UniqueFd root = mount(container("a"), base);
            expect_sample(root.get(), base, "x");
            EXPECT_EQ(owner(root.get(), "made"), base + 33);
            expect_sample(mount(container("b"), base).get(), base, "b");
        }
    }
}

TEST_P(IdmapTest, MountIsWritableAsTheContainersRoot) {
    add_image("f", "x");
    add_container("a", "f");
    const UniqueFd root = mount(container("a"), kBase);
    write_as_container(root.get(), kBase, "etc/hostname", 0);  // copies up
    EXPECT_EQ(read_at(root.get(), "etc/hostname"), "from inside");
    const auto ids = sys::ScopedFsIds::become(kBase, kBase);
    EXPECT_EQ(::mkdirat(root.get(), "www/sub", 0755), 0) << std::strerror(errno);
    EXPECT_EQ(::renameat(root.get(), "www", root.get(), "web"), 0) << std::strerror(errno);
    EXPECT_EQ(::unlinkat(root.get(), "usr/su", 0), 0) << std::strerror(errno);
    EXPECT_EQ(owner(root.get(), "web/sub"), kBase);
}

}  // namespace
}  // namespace lxmgr::conformance
