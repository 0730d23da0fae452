#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>
#include <thread>

#include "lxd-daemon/sys/credentials.h"
#include "tests/conformance/pool_fixture.h"
#include "tests/conformance/sample.h"

namespace lxmgr::conformance {
namespace {

/// Copies of volumes: snapshots, restoring and copying of instances are made of them.
class CopiesTest : public PoolTest {
protected:
    void SetUp() override {
        PoolTest::SetUp();
        if (IsSkipped()) return;
        add_image("f", "x");
        add_container("a", "f");
    }
};
INSTANTIATE_TEST_SUITE_P(Every, CopiesTest, testing::ValuesIn(cases()), case_name);

/// As the container's root: the host's has no id in a mount with a map.
void write_inside(int root, const std::string& path, const std::string& text) {
    const auto ids = sys::ScopedFsIds::become(kBase, kBase);
    ASSERT_TRUE(ids);
    write_at(root, path, text);
}

/// What leaves its own kind of trace in an overlay's upper: a whiteout, an opaque directory, a redirect, a
/// file that was copied up, a hard link.
void change(int root) {
    const auto ids = sys::ScopedFsIds::become(kBase, kBase);
    ASSERT_TRUE(ids);
    write_at(root, "etc/hostname", "changed");
    EXPECT_EQ(::unlinkat(root, "usr/su", 0), 0);
    EXPECT_EQ(::unlinkat(root, "fifo", 0), 0);
    EXPECT_EQ(::unlinkat(root, "www", AT_REMOVEDIR), 0);
    EXPECT_EQ(::mkdirat(root, "www", 0700), 0);
    EXPECT_EQ(::renameat(root, "usr", root, "opt"), 0) << std::strerror(errno);
    write_at(root, "new", "1");
    EXPECT_EQ(::linkat(root, "new", root, "again", 0), 0);
}

void expect_changed(int root, std::uint32_t base) {
    EXPECT_EQ(read_at(root, "etc/hostname"), "changed");
    EXPECT_FALSE(exists_at(root, "usr"));
    EXPECT_FALSE(exists_at(root, "opt/su"));
    EXPECT_FALSE(exists_at(root, "fifo"));
    EXPECT_EQ(read_at(root, "opt/one"), "linked");
    struct stat st{}, other{};
    EXPECT_EQ(::fstatat(root, "www", &st, 0), 0);
    EXPECT_EQ(st.st_mode & 07777U, 0700U);
    EXPECT_EQ(st.st_uid, base);
    EXPECT_EQ(::fstatat(root, "new", &st, 0), 0);
    EXPECT_EQ(::fstatat(root, "again", &other, 0), 0);
    EXPECT_EQ(st.st_ino, other.st_ino);
    EXPECT_EQ(st.st_nlink, 2U);
}

TEST_P(CopiesTest, CopyHoldsWhatItsSourceHeldAndSharesNothingWithIt) {
    change(mount(container("a"), kBase).get());
    EXPECT_OK(driver_->create_copy(snapshot("s"), container("a"), {}));
    write_inside(mount(container("a"), kBase).get(), "etc/hostname", "later");
    expect_changed(mount(snapshot("s"), kBase, true).get(), kBase);
    EXPECT_OK(driver_->create_copy(container("b"), snapshot("s"), {}));
    write_inside(mount(container("b"), kBase).get(), "only-b", "1");
    expect_changed(mount(container("b"), kBase).get(), kBase);
    EXPECT_FALSE(exists_at(mount(snapshot("s"), kBase, true).get(), "only-b"));
    EXPECT_EQ(read_at(mount(container("a"), kBase).get(), "etc/hostname"), "later");
}

TEST_P(CopiesTest, CopyOfAnUnchangedVolumeIsTheImage) {
    EXPECT_OK(driver_->create_copy(snapshot("s"), container("a"), {}));
    expect_sample(mount(snapshot("s"), kBase, true).get(), kBase, "x");
    EXPECT_EQ(driver_->list_volumes(storage::VolumeType::snapshot).value(), std::vector<std::string>{"s"});
}

TEST_P(CopiesTest, SourceMayBeMountedWhileNobodyWrites) {
    const UniqueFd root = mount(container("a"), kBase);
    write_inside(root.get(), "before", "1");
    bool told = false;
    EXPECT_OK(driver_->create_copy(snapshot("s"), container("a"), [&] {
        told = true;
        write_inside(root.get(), "after", "1");
    }));
    EXPECT_TRUE(told);
    write_inside(root.get(), "etc/hostname", "goes on");
    EXPECT_EQ(read_at(root.get(), "etc/hostname"), "goes on");
    const UniqueFd copy = mount(snapshot("s"), kBase, true);
    EXPECT_TRUE(exists_at(copy.get(), "before"));
    EXPECT_FALSE(exists_at(copy.get(), "after"));
    EXPECT_EQ(read_at(copy.get(), "etc/hostname"), "x");
}

TEST_P(CopiesTest, CopyOfAPlainTreeIsOneToo) {
    EXPECT_OK(driver_->create_volume(container("t"), [](int root) { return fill_sample(root, "t"); }));
    EXPECT_OK(driver_->create_copy(snapshot("s"), container("t"), {}));
    write_inside(mount(container("t"), kBase).get(), "etc/hostname", "changed");
    expect_sample(mount(snapshot("s"), kBase, true).get(), kBase, "t");
}

TEST_P(CopiesTest, SwapExchangesContents) {
    EXPECT_OK(driver_->create_copy(snapshot("s"), container("a"), {}));
    change(mount(container("a"), kBase).get());
    EXPECT_OK(driver_->swap_volumes(container("a"), snapshot("s")));
    expect_sample(mount(container("a"), kBase).get(), kBase, "x");
    expect_changed(mount(snapshot("s"), kBase).get(), kBase);
    EXPECT_STATUS(driver_->swap_volumes(container("a"), snapshot("none")), Status::not_found);
}

TEST_P(CopiesTest, ImageLivesAsLongAsASnapshotStandsOnIt) {
    EXPECT_OK(driver_->create_copy(snapshot("s"), container("a"), {}));
    EXPECT_OK(driver_->delete_volume(container("a")));
    EXPECT_OK(driver_->delete_volume(image("f")));
    reopen();
    EXPECT_OK(driver_->recover());
    expect_sample(mount(snapshot("s"), kBase, true).get(), kBase, "x");
    EXPECT_STATUS(driver_->delete_pool(), Status::bad_request);
    EXPECT_OK(driver_->delete_volume(snapshot("s")));
    for (const char* directory : {"snapshots", "images", "layers", "tmp"})
        EXPECT_TRUE(entries(directory).empty()) << directory;
}

TEST_P(CopiesTest, MissingSourceAndTakenNameAreRefused) {
    EXPECT_STATUS(driver_->create_copy(snapshot("s"), container("none"), {}), Status::not_found);
    EXPECT_OK(driver_->create_copy(snapshot("s"), container("a"), {}));
    EXPECT_STATUS(driver_->create_copy(snapshot("s"), container("a"), {}), Status::conflict);
    EXPECT_TRUE(entries("tmp").empty());
}

}  // namespace
}  // namespace lxmgr::conformance
