#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>
#include <thread>

#include "lxd-daemon/base/files.h"
#include "tests/conformance/pool_fixture.h"
#include "tests/conformance/sample.h"

namespace lxmgr::conformance {
namespace {

using storage::VolumeType;
using testing::Values;

class VolumesTest : public PoolTest {};
INSTANTIATE_TEST_SUITE_P(Every, VolumesTest, testing::ValuesIn(cases()), case_name);

TEST_P(VolumesTest, CreatedVolumeIsListedAndHoldsWhatItsFillerPut) {
    EXPECT_FALSE(driver_->has_volume(container("a")));
    EXPECT_OK(driver_->create_volume(container("a"), [](int root) { return fill_sample(root, "a"); }));
    EXPECT_TRUE(driver_->has_volume(container("a")));
    EXPECT_EQ(driver_->list_volumes(VolumeType::container).value(), std::vector<std::string>{"a"});
    reopen();
    EXPECT_TRUE(driver_->has_volume(container("a")));
    const UniqueFd root = mount(container("a"), 0);
    expect_sample(root.get(), 0, "a");
}

TEST_P(VolumesTest, FailingFillerLeavesNothing) {
    for (const auto& volume : {container("a"), image("f")}) {
        const auto fill = [](int root) -> Result<> {
            LX_TRY(fill_sample(root, "half"));
            return fail(Status::bad_request, "no more");
        };
        EXPECT_STATUS(driver_->create_volume(volume, fill), Status::bad_request);
        EXPECT_FALSE(driver_->has_volume(volume));
    }
    for (const char* directory : {"containers", "images", "layers", "tmp"})
        EXPECT_TRUE(entries(directory).empty()) << directory;
}

TEST_P(VolumesTest, TakenNameIsAConflictAndTheFirstStays) {
    add_image("f", "first");
    add_container("a", "f");
    EXPECT_STATUS(driver_->create_volume(image("f"), {}), Status::conflict);
    EXPECT_STATUS(driver_->create_volume(container("a"), {}), Status::conflict);
    EXPECT_STATUS(driver_->create_from_image(container("a"), "f"), Status::conflict);
    expect_sample(mount(container("a"), kBase).get(), kBase, "first");
    EXPECT_TRUE(entries("tmp").empty());
}

TEST_P(VolumesTest, MissingOnesAreNotFound) {
    EXPECT_STATUS(driver_->create_from_image(container("a"), "none"), Status::not_found);
    EXPECT_STATUS(driver_->mount(container("none"), {}), Status::not_found);
    EXPECT_STATUS(driver_->mount(image("none"), {}), Status::not_found);
    EXPECT_STATUS(driver_->rename_volume(container("none"), "b"), Status::not_found);
    EXPECT_STATUS(driver_->usage_bytes(container("none")), Status::not_found);
    EXPECT_OK(driver_->delete_volume(container("none")));
    EXPECT_OK(driver_->delete_volume(image("none")));
}

TEST_P(VolumesTest, RenamedVolumeKeepsItsContentAndATakenNameIsRefused) {
    add_image("f", "x");
    add_container("a", "f");
    add_container("c", "f");
    EXPECT_OK(driver_->rename_volume(container("a"), "b"));
    EXPECT_FALSE(driver_->has_volume(container("a")));
    EXPECT_STATUS(driver_->rename_volume(container("b"), "c"), Status::conflict);
    expect_sample(mount(container("b"), kBase).get(), kBase, "x");
    expect_sample(mount(container("c"), kBase).get(), kBase, "x");
}

TEST_P(VolumesTest, DeletedVolumesLeaveNothing) {
    add_image("f", "x");
    add_container("a", "f");
    EXPECT_OK(driver_->create_volume(container("b"), {}));
    EXPECT_OK(driver_->create_volume({VolumeType::custom, "data"}, {}));
    EXPECT_STATUS(driver_->delete_pool(), Status::bad_request);
    write_at(mount(container("a"), 0).get(), "new", "1");
    EXPECT_OK(driver_->delete_volume(container("a")));
    EXPECT_OK(driver_->delete_volume(container("b")));
    EXPECT_OK(driver_->delete_volume({VolumeType::custom, "data"}));
    EXPECT_OK(driver_->delete_volume(image("f")));
    EXPECT_FALSE(driver_->has_volume(container("a")));
    for (const char* directory : {"containers", "images", "custom", "layers", "tmp"}) {
        EXPECT_TRUE(entries(directory).empty()) << directory;
    }
    EXPECT_OK(driver_->delete_pool());
    EXPECT_FALSE(path_exists(path_));
}

TEST_P(VolumesTest, HostUsersCannotReachInto) {
    add_image("f", "x");
    add_container("a", "f");
    struct stat st{};
    ASSERT_EQ(::stat(path_.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777U, 0711U);
    ASSERT_EQ(::stat((path_ + "/containers/a").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777U, 0100U);
    ASSERT_EQ(::stat((path_ + "/images/f/.").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777U, 0100U);
}

TEST_P(VolumesTest, InstancesShareNothingThatTheyWrite) {
    add_image("f", "x");
    add_container("a", "f");
    add_container("b", "f");
    {
        const UniqueFd root = mount(container("a"), 0);
        write_at(root.get(), "etc/hostname", "changed");
        EXPECT_EQ(::unlinkat(root.get(), "usr/su", 0), 0);
        // Needs redirect_dir where the directory is the image's.
        EXPECT_EQ(::renameat(root.get(), "usr", root.get(), "opt"), 0) << std::strerror(errno);
    }
    const UniqueFd a = mount(container("a"), 0);
    EXPECT_EQ(read_at(a.get(), "etc/hostname"), "changed");
    EXPECT_FALSE(exists_at(a.get(), "opt/su"));
    EXPECT_EQ(read_at(a.get(), "opt/one"), "linked");
    expect_sample(mount(container("b"), kBase).get(), kBase, "x");
    expect_sample(mount(image("f"), 0).get(), 0, "x");
}

TEST_P(VolumesTest, ReadOnlyMountRefusesWrites) {
    add_image("f", "x");
    add_container("a", "f");
    for (const auto& volume : {container("a"), image("f")}) {
        const UniqueFd root = mount(volume, kBase, true);
        EXPECT_EQ(::mkdirat(root.get(), "new", 0755), -1);
        EXPECT_EQ(errno, EROFS);
        expect_sample(root.get(), kBase, "x");
    }
}

TEST_P(VolumesTest, DeletedImageServesThoseWhoStandOnItAndTheNextOfItsNameIsAnother) {
    add_image("f", "old");
    add_container("a", "f");
    add_container("b", "f");
    EXPECT_OK(driver_->delete_volume(image("f")));
    EXPECT_FALSE(driver_->has_volume(image("f")));
    EXPECT_STATUS(driver_->create_from_image(container("c"), "f"), Status::not_found);
    reopen();
    EXPECT_OK(driver_->recover());
    expect_sample(mount(container("a"), kBase).get(), kBase, "old");
    add_image("f", "new");
    add_container("c", "f");
    expect_sample(mount(container("b"), kBase).get(), kBase, "old");
    expect_sample(mount(container("c"), kBase).get(), kBase, "new");
    for (const char* name : {"a", "b"}) EXPECT_OK(driver_->delete_volume(container(name)));
    expect_sample(mount(container("c"), kBase).get(), kBase, "new");
    EXPECT_OK(driver_->delete_volume(container("c")));
    EXPECT_OK(driver_->delete_volume(image("f")));
    EXPECT_TRUE(entries("layers").empty());
    EXPECT_TRUE(entries("tmp").empty());
}

TEST_P(VolumesTest, UsageCountsWhatTheVolumeHoldsByItself) {
    add_image("f", "x");
    add_container("a", "f");
    const auto before = driver_->usage_bytes(container("a")).value();
    write_at(mount(container("a"), 0).get(), "big", std::string(1 << 20, 'x'));
    ::sync();  // blocks are allocated when they are written back
    const auto after = driver_->usage_bytes(container("a")).value();
    EXPECT_GE(after - before, std::uint64_t{1} << 20);
    EXPECT_LT(after - before, std::uint64_t{2} << 20);
    EXPECT_OK(driver_->usage_bytes(image("f")));
    if (GetParam().driver == "overlay") {
        EXPECT_LT(before, 65536U);
    }
}

TEST_P(VolumesTest, SpaceIsThatOfTheFileSystem) {
    const auto space = driver_->space().value();
    EXPECT_GT(space.total_bytes, std::uint64_t{100} << 20);
    EXPECT_LT(space.used_bytes, space.total_bytes);
    EXPECT_LE(space.used_inodes, space.total_inodes);
}

TEST_P(VolumesTest, TreeOfAnyDepthIsRemoved) {
    const auto nest = [](int root) -> Result<> {
        UniqueFd at(::openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        for (int i = 0; i < 1000; ++i) {
            if (::mkdirat(at.get(), "d", 0755) != 0) return fail_errno("mkdir", "d");
            at.reset(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        }
        return {};
    };
    EXPECT_OK(driver_->create_volume(container("a"), nest));
    EXPECT_OK(driver_->usage_bytes(container("a")));
    EXPECT_OK(driver_->delete_volume(container("a")));
    EXPECT_TRUE(entries("tmp").empty());
}

TEST_P(VolumesTest, DifferentVolumesGoInParallel) {
    add_image("f", "x");
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
        threads.emplace_back([this, i] {
            const auto volume = container("c" + std::to_string(i));
            for (int round = 0; round < 5; ++round) {
                EXPECT_OK(driver_->create_from_image(volume, "f"));
                expect_sample(mount(volume, kBase + 65536 * static_cast<std::uint32_t>(i % 2)).get(),
                              kBase + 65536 * static_cast<std::uint32_t>(i % 2), "x");
                EXPECT_OK(driver_->delete_volume(volume));
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_OK(driver_->delete_volume(image("f")));
    for (const char* directory : {"containers", "layers", "tmp"})
        EXPECT_TRUE(entries(directory).empty()) << directory;
}

TEST_P(VolumesTest, ImageDeletedWhileInstancesAreMadeStaysOrGoesWhole) {
    for (int round = 0; round < 10; ++round) {
        add_image("f", "x");
        std::thread creator([this] {
            const auto made = driver_->create_from_image(container("a"), "f");
            if (!made) {
                EXPECT_EQ(made.error().status, Status::not_found) << made.error().message;
            }
        });
        EXPECT_OK(driver_->delete_volume(image("f")));
        creator.join();
        if (driver_->has_volume(container("a")))
            expect_sample(mount(container("a"), kBase).get(), kBase, "x");
        EXPECT_OK(driver_->delete_volume(container("a")));
        EXPECT_TRUE(entries("layers").empty());
    }
}

}  // namespace
}  // namespace lxmgr::conformance
