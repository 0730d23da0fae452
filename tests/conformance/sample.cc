#include "tests/conformance/sample.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>

#include "lxd-daemon/base/own.h"

namespace lxmgr::conformance {
namespace {

constexpr off_t kHole = off_t{4} << 20;
constexpr timespec kThen{1'000'000'000, 123'456'000};

/// user::rwx, user:33:rwx, group::r-x, mask::rwx, other::r-x as linux/posix_acl_xattr.h has it,
/// little-endian.
std::string acl_for(std::uint32_t uid) {
    struct Row {
        std::uint16_t tag, permissions;
        std::uint32_t id;
    };
    const std::array rows = {Row{0x01, 7, ~0U}, Row{0x02, 7, uid}, Row{0x04, 5, ~0U}, Row{0x10, 7, ~0U},
                             Row{0x20, 5, ~0U}};
    std::string value("\x02\0\0\0", 4);
    return value.append(reinterpret_cast<const char*>(rows.data()), sizeof rows);
}

/// cap_net_raw+ep; with a root id it counts in the user namespace of that root only.
std::string capability_for(std::uint32_t root) {
    const std::uint32_t revision = root == 0 ? VFS_CAP_REVISION_2 : VFS_CAP_REVISION_3;
    const std::array<std::uint32_t, 6> words{
        revision | VFS_CAP_FLAGS_EFFECTIVE, 1U << CAP_NET_RAW, 0, 0, 0, root};
    return {reinterpret_cast<const char*>(words.data()), root == 0 ? XATTR_CAPS_SZ_2 : XATTR_CAPS_SZ_3};
}

bool is_before_6_2() {
    utsname info{};
    unsigned major = 0, minor = 0;
    EXPECT_EQ(::uname(&info), 0);
    EXPECT_EQ(std::sscanf(info.release, "%u.%u", &major, &minor), 2);
    return major < 6 || (major == 6 && minor < 2);
}

std::string link_path(int dir_fd, const std::string& path) {
    return fmt::format("/proc/self/fd/{}/{}", dir_fd, path);
}

std::string xattr_at(int dir_fd, const std::string& path, const char* name) {
    std::string value(256, '\0');
    const ssize_t n = ::lgetxattr(link_path(dir_fd, path).c_str(), name, value.data(), value.size());
    value.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return value;
}

Result<> set_xattr(int dir_fd, const std::string& path, const char* name, const std::string& value) {
    if (::lsetxattr(link_path(dir_fd, path).c_str(), name, value.data(), value.size(), 0) == 0) return {};
    return fail_errno("setxattr", name);
}

Result<> put(int root, const char* path, const std::string& content, mode_t mode) {
    const UniqueFd fd(::openat(root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd || ::write(fd.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()) ||
        ::fchmod(fd.get(), mode) != 0) {
        return fail_errno("Writing", path);
    }
    return {};
}

struct stat stat_at(int root, const char* path) {
    struct stat st{};
    EXPECT_EQ(::fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH), 0)
        << path << ": " << std::strerror(errno);
    return st;
}

Result<> fill_special(int root) {
    const bool made =
        ::linkat(root, "usr/one", root, "usr/two", 0) == 0 && ::symlinkat("usr/one", root, "link") == 0 &&
        ::fchownat(root, "link", 33, 34, AT_SYMLINK_NOFOLLOW) == 0 && ::mkfifoat(root, "fifo", 0640) == 0 &&
        ::mknodat(root, "usr/null", S_IFCHR | 0666, makedev(1, 3)) == 0 &&
        ::fchmodat(root, "usr/null", 0666, 0) == 0 && ::fchownat(root, "www", 33, 34, 0) == 0;
    if (!made) return fail_errno("Making", "special files");
    const UniqueFd sparse(::openat(root, "sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    if (!sparse || ::pwrite(sparse.get(), "end", 3, kHole) != 3) return fail_errno("Writing", "sparse");
    LX_TRY(set_xattr(root, "www", "system.posix_acl_access", acl_for(33)));
    LX_TRY(set_xattr(root, "usr/ping", "security.capability", capability_for(0)));
    LX_TRY(set_xattr(root, "etc/hostname", "user.note", "kept"));
    return set_xattr(root, ".", "user.root", "kept");
}

}  // namespace

Result<> fill_sample(int root_fd, const std::string& hostname) {
    for (const char* path : {"etc", "usr", "www"}) {
        if (::mkdirat(root_fd, path, 0755) != 0) return fail_errno("mkdir", path);
    }
    LX_TRY(put(root_fd, "etc/hostname", hostname, 0644));
    LX_TRY(put(root_fd, "usr/su", "#!", 04755));
    LX_TRY(put(root_fd, "usr/ping", "#!", 0755));
    LX_TRY(put(root_fd, "usr/one", "linked", 0644));
    LX_TRY(fill_special(root_fd));
    const std::array<timespec, 2> times{kThen, kThen};
    for (const char* path : {"etc/hostname", "link", "usr", "."}) {
        if (::utimensat(root_fd, path, times.data(), AT_SYMLINK_NOFOLLOW) != 0)
            return fail_errno("utimens", path);
    }
    if (::fchmod(root_fd, 0751) != 0) return fail_errno("chmod", "the root");
    return {};
}

void expect_sample(int root_fd, std::uint32_t base, const std::string& hostname) {
    EXPECT_EQ(read_at(root_fd, "etc/hostname"), hostname);
    EXPECT_EQ(stat_at(root_fd, "usr/su").st_mode, S_IFREG | 04755U);
    const auto root = stat_at(root_fd, "");
    EXPECT_EQ(root.st_mode & 07777U, 0751U);
    EXPECT_EQ(root.st_uid, base);
    EXPECT_EQ(xattr_at(root_fd, ".", "user.root"), "kept");
    EXPECT_EQ(xattr_at(root_fd, "etc/hostname", "user.note"), "kept");
    const auto one = stat_at(root_fd, "usr/one"), two = stat_at(root_fd, "usr/two");
    EXPECT_EQ(one.st_ino, two.st_ino);
    EXPECT_EQ(one.st_nlink, 2U);
    const auto www = stat_at(root_fd, "www"), link = stat_at(root_fd, "link");
    EXPECT_EQ(www.st_uid, base + 33);
    EXPECT_EQ(www.st_gid, base + 34);
    EXPECT_EQ(link.st_uid, base + 33);
    for (const char* path : {"etc/hostname", "link", "usr"}) {
        EXPECT_EQ(stat_at(root_fd, path).st_mtim.tv_sec, kThen.tv_sec) << path;
        EXPECT_EQ(stat_at(root_fd, path).st_mtim.tv_nsec, kThen.tv_nsec) << path;
    }
    // Before Linux 6.2 the initial user namespace reads an ACL through an idmapped mount as it is on disk.
    const std::string acl = xattr_at(root_fd, "www", "system.posix_acl_access");
    EXPECT_TRUE(acl == acl_for(base + 33) || (is_before_6_2() && acl == acl_for(33)));
    EXPECT_EQ(xattr_at(root_fd, "usr/ping", "security.capability"), capability_for(base));
    const auto null = stat_at(root_fd, "usr/null"), fifo = stat_at(root_fd, "fifo"),
               sparse = stat_at(root_fd, "sparse");
    EXPECT_EQ(null.st_mode, S_IFCHR | 0666U);
    EXPECT_EQ(null.st_rdev, makedev(1, 3));
    EXPECT_EQ(fifo.st_mode, S_IFIFO | 0640U);
    EXPECT_EQ(sparse.st_size, kHole + 3);
    EXPECT_LT(sparse.st_blocks * 512, off_t{1} << 20);
}

void write_at(int dir_fd, const std::string& path, const std::string& content) {
    const UniqueFd fd(::openat(dir_fd, path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    ASSERT_TRUE(fd) << path << ": " << std::strerror(errno);
    EXPECT_EQ(::write(fd.get(), content.data(), content.size()), static_cast<ssize_t>(content.size()));
}

std::string read_at(int dir_fd, const std::string& path) {
    const UniqueFd fd(::openat(dir_fd, path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string text(4096, '\0');
    const ssize_t n = fd ? ::read(fd.get(), text.data(), text.size()) : 0;
    text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return text;
}

bool exists_at(int dir_fd, const std::string& path) {
    struct stat st{};
    return ::fstatat(dir_fd, path.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
}

}  // namespace lxmgr::conformance
