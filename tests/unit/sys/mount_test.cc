#include "lxd-daemon/sys/mount.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/sys/credentials.h"
#include "lxd-daemon/sys/idmap.h"

namespace lxmgr::sys {
namespace {

class MountTest : public testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root: mounts";
        char dir[] = "/tmp/lxmgr-mount-XXXXXX";
        dir_ = ::mkdtemp(dir);
        before_ = *read_file("/proc/self/mountinfo");
    }
    void TearDown() override {
        if (dir_.empty()) return;
        EXPECT_EQ(*read_file("/proc/self/mountinfo"), before_);
        EXPECT_TRUE(remove_tree(dir_));
    }
    static UniqueFd tmpfs() {
        auto context = FsContext::open("tmpfs");
        EXPECT_TRUE(context && context->set("mode", "0755") && context->create());
        auto fd = context->mount();
        EXPECT_TRUE(fd);
        return std::move(*fd);
    }
    std::string dir_, before_;
};

TEST_F(MountTest, DetachedMountIsGoneWithItsDescriptor) {
    {
        const UniqueFd fd = tmpfs();
        EXPECT_EQ(file_system_magic(fd.get()).value_or(0), TMPFS_MAGIC);
    }
    EXPECT_EQ(*read_file("/proc/self/mountinfo"), before_);
}

TEST_F(MountTest, GuardUnmountsUnlessKept) {
    {
        auto guard = attach_mount(tmpfs().get(), dir_);
        ASSERT_TRUE(guard);
        EXPECT_EQ(guard->target(), dir_);
        EXPECT_NE(*read_file("/proc/self/mountinfo"), before_);
    }
    EXPECT_EQ(*read_file("/proc/self/mountinfo"), before_);
    auto kept = attach_mount(tmpfs().get(), dir_);
    ASSERT_TRUE(kept);
    kept->keep();
    kept->unmount();
    EXPECT_NE(*read_file("/proc/self/mountinfo"), before_);
    EXPECT_EQ(::umount(dir_.c_str()), 0);
}

TEST_F(MountTest, CloneOfASharedMountIsPrivate) {
    // Attached below a private mount: below a shared one it would become shared again.
    const auto parent = attach_mount(tmpfs().get(), dir_);
    ASSERT_TRUE(parent);
    ASSERT_EQ(::mount(nullptr, dir_.c_str(), nullptr, MS_PRIVATE, nullptr), 0);
    ASSERT_TRUE(make_directory(dir_ + "/shared") && make_directory(dir_ + "/at"));
    const auto shared = attach_mount(tmpfs().get(), dir_ + "/shared");
    ASSERT_TRUE(shared);
    ASSERT_EQ(::mount(nullptr, shared->target().c_str(), nullptr, MS_SHARED, nullptr), 0);
    const auto clone = clone_mount(AT_FDCWD, shared->target());
    ASSERT_TRUE(clone);
    const auto second = attach_mount(clone->get(), dir_ + "/at");
    ASSERT_TRUE(second);
    const std::string info = *read_file("/proc/self/mountinfo");
    const auto line = info.find(" " + dir_ + "/at ");
    ASSERT_NE(line, std::string::npos);
    EXPECT_FALSE(info.substr(line, info.find('\n', line) - line).contains("shared:"));
}

TEST_F(MountTest, IdmapShiftsOwnersBothWays) {
    const IdMap map{{{0, 1'000'000, 65536}}, {{0, 1'000'000, 65536}}};
    const auto user_namespace = make_user_namespace(map);
    const auto clone = clone_mount(AT_FDCWD, dir_);
    ASSERT_TRUE(user_namespace && clone);
    ASSERT_TRUE(set_idmap(clone->get(), user_namespace->get()));
    struct stat info{};
    ASSERT_EQ(::fstat(clone->get(), &info), 0);
    EXPECT_EQ(info.st_uid, 1'000'000U);
    // As uid 0 of the host nothing can be made there, since it has no id on that disk.
    EXPECT_LT(::openat(clone->get(), "as-root", O_CREAT | O_WRONLY, 0600), 0);
    EXPECT_EQ(errno, EOVERFLOW);
    {
        const auto ids = ScopedFsIds::become(1'000'033, 1'000'044);
        ASSERT_TRUE(ids);
        const UniqueFd made(::openat(clone->get(), "as-www", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        ASSERT_TRUE(made.valid());
    }
    ASSERT_EQ(::stat((dir_ + "/as-www").c_str(), &info), 0);
    EXPECT_EQ(info.st_uid, 33U);
    EXPECT_EQ(info.st_gid, 44U);
    EXPECT_FALSE(set_idmap(clone->get(), user_namespace->get()));  // once only
}

TEST_F(MountTest, ErrorsTellWhatTheKernelSaid) {
    EXPECT_EQ(FsContext::open("no-such-fs").error().sys_errno, ENODEV);
    auto context = FsContext::open("tmpfs");
    ASSERT_TRUE(context);
    const auto bad = context->set("no-such-option", "1");
    ASSERT_FALSE(bad);
    EXPECT_TRUE(bad.error().message.contains("no-such-option")) << bad.error().message;
    EXPECT_EQ(clone_mount(AT_FDCWD, dir_ + "/absent").error().status, Status::not_found);
}

TEST_F(MountTest, AttributesAreSetAndCleared) {
    const UniqueFd fd = tmpfs();
    ASSERT_TRUE(change_attributes(fd.get(), MOUNT_ATTR_RDONLY, 0));
    EXPECT_NE(::mkdirat(fd.get(), "a", 0755), 0);
    EXPECT_EQ(errno, EROFS);
    ASSERT_TRUE(change_attributes(fd.get(), 0, MOUNT_ATTR_RDONLY));
    EXPECT_EQ(::mkdirat(fd.get(), "a", 0755), 0);
}

TEST_F(MountTest, ScopedIdsComeBackAndKeepCapabilities) {
    const auto file_owner = [&](const std::string& name) {
        const UniqueFd made(::open((dir_ + "/" + name).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        struct stat info{};
        EXPECT_EQ(::fstat(made.get(), &info), 0);
        return info.st_uid;
    };
    {
        const auto ids = ScopedFsIds::become(4242, 4243);
        ASSERT_TRUE(ids);
        EXPECT_EQ(file_owner("inside"),
                  4242U);  // in a directory of root's, 0700: so CAP_DAC_OVERRIDE is still there
    }
    EXPECT_EQ(file_owner("outside"), 0U);
}

}  // namespace
}  // namespace lxmgr::sys
