#include <gmock/gmock.h>
#include <sys/sysmacros.h>

#include "image_fixture.h"

namespace lxmgr::images {
namespace {

using testing::HasSubstr;

/// "tar", a tarball's packing, or "squashfs-" and its compressor.
class UnpackTest : public testing::TestWithParam<std::string> {
protected:
    /// Builds a split image of what `fill` puts into a tarball.
    ImageFiles image(const std::function<void(Tar&)>& fill) {
        const std::string& how = GetParam();
        const ImageFiles files{plain_metadata(temp_ / "meta.tar"), temp_ / "rootfs"};
        const bool squashfs = how.starts_with("squashfs");
        {
            Tar tar(squashfs ? temp_ / "plain.tar" : files.rootfs_path, packing(how));
            fill(tar);
        }
        if (squashfs) to_squashfs(temp_ / "plain.tar", files.rootfs_path, how.substr(how.find('-') + 1));
        return files;
    }
    static Packing packing(std::string_view how) {
        if (how == "gzip") return Packing::gzip;
        if (how == "bzip2") return Packing::bzip2;
        if (how == "xz") return Packing::xz;
        if (how == "zstd") return Packing::zstd;
        if (how == "lz4") return Packing::lz4;
        return Packing::none;
    }
    bool is_squashfs() const { return GetParam().starts_with("squashfs"); }
    std::string at(std::string_view path) const { return fmt::format("{}/{}", temp_ / "out", path); }
    void unpack(const ImageFiles& files) { ASSERT_OK(unpack_into(files, temp_ / "out")); }

    TempDir temp_;
};

INSTANTIATE_TEST_SUITE_P(Formats, UnpackTest,
                         testing::Values("tar", "gzip", "bzip2", "xz", "zstd", "lz4", "squashfs-zstd",
                                         "squashfs-xz", "squashfs-gzip", "squashfs-lz4"),
                         [](const auto& tested) {
                             std::string name = tested.param;
                             std::erase(name, '-');
                             return name;
                         });

TEST_P(UnpackTest, KeepsContentOwnersModesAndTimes) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to give files away";
    const std::string big(3'000'001, 'b');
    unpack(image([&](Tar& tar) {
        tar.dir("./", [](archive_entry* e) { archive_entry_set_perm(e, 0751); });
        tar.dir("./etc", [](archive_entry* e) { archive_entry_set_mtime(e, 1'500'000'000, 0); });
        tar.file("./etc/hostname", "box\n", [](archive_entry* e) {
            archive_entry_set_uid(e, 1234);
            archive_entry_set_gid(e, 70000);
            archive_entry_set_perm(e, 0640);
            archive_entry_set_mtime(e, 1'400'000'000, 0);
        });
        tar.file("./etc/empty");
        tar.dir("./usr").dir("./usr/bin").file("./usr/bin/sudo", "#!", [](archive_entry* e) {
            archive_entry_set_perm(e, 06755);
            archive_entry_set_gid(e, 5);
        });
        tar.dir("./tmp", [](archive_entry* e) { archive_entry_set_perm(e, 01777); });
        tar.file("./big", big);
        tar.symlink("./lib", "usr/lib").symlink("./abs", "/etc/passwd");
        tar.add("./fifo", AE_IFIFO);
        tar.dir("./readonly", [](archive_entry* e) { archive_entry_set_perm(e, 0555); })
            .file("./readonly/in", "x");
    }));
    EXPECT_EQ(stat_of(at("")).st_mode & 07777u, 0751u);
    EXPECT_EQ(read_text(at("etc/hostname")), "box\n");
    const auto hostname = stat_of(at("etc/hostname"));
    EXPECT_EQ(hostname.st_uid, 1234u);
    EXPECT_EQ(hostname.st_gid, 70000u);
    EXPECT_EQ(hostname.st_mode & 07777u, 0640u);
    EXPECT_EQ(hostname.st_mtim.tv_sec, 1'400'000'000);
    EXPECT_EQ(stat_of(at("etc")).st_mtim.tv_sec, 1'500'000'000);
    EXPECT_EQ(stat_of(at("etc/empty")).st_size, 0);
    EXPECT_EQ(stat_of(at("usr/bin/sudo")).st_mode & 07777u, 06755u);
    EXPECT_EQ(stat_of(at("tmp")).st_mode & 07777u, 01777u);
    EXPECT_EQ(read_text(at("big")), big);
    EXPECT_EQ(std::filesystem::read_symlink(at("lib")), "usr/lib");
    EXPECT_EQ(std::filesystem::read_symlink(at("abs")), "/etc/passwd");
    EXPECT_TRUE(S_ISFIFO(stat_of(at("fifo")).st_mode));
    EXPECT_EQ(stat_of(at("readonly")).st_mode & 07777u, 0555u);
    EXPECT_EQ(read_text(at("readonly/in")), "x");
}

TEST_P(UnpackTest, KeepsFileCapabilitiesAndUserAttributesOnly) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to set file capabilities";
    // VFS_CAP_REVISION_2 with cap_net_raw permitted and effective (linux/capability.h).
    const std::string capability(
        "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 20);
    unpack(image([&](Tar& tar) {
        tar.file("ping", "x", [&](archive_entry* e) {
            archive_entry_xattr_add_entry(e, "security.capability", capability.data(), capability.size());
            archive_entry_xattr_add_entry(e, "user.note", "hello", 5);
            archive_entry_xattr_add_entry(e, "trusted.overlay.redirect", "/etc", 4);
        });
        tar.dir("d", [](archive_entry* e) {
            archive_entry_xattr_add_entry(e, "trusted.overlay.opaque", "y", 1);
            archive_entry_xattr_add_entry(e, "user.dir", "v", 1);
        });
    }));
    char value[64];
    EXPECT_EQ(::getxattr(at("ping").c_str(), "security.capability", value, sizeof value), 20);
    EXPECT_EQ(std::string(value, 20), capability);
    EXPECT_EQ(::getxattr(at("ping").c_str(), "user.note", value, sizeof value), 5);
    EXPECT_EQ(::getxattr(at("d").c_str(), "user.dir", value, sizeof value), 1);
    EXPECT_LT(::getxattr(at("ping").c_str(), "trusted.overlay.redirect", value, sizeof value), 0);
    EXPECT_LT(::getxattr(at("d").c_str(), "trusted.overlay.opaque", value, sizeof value), 0);
}

TEST_P(UnpackTest, KeepsHardLinks) {
    unpack(image([](Tar& tar) {
        tar.dir("a").dir("b").file("a/one", "same").link("b/two", "a/one").link("three", "a/one");
        tar.symlink("link", "a/one");
    }));
    EXPECT_EQ(stat_of(at("a/one")).st_nlink, 3u);
    EXPECT_EQ(stat_of(at("b/two")).st_ino, stat_of(at("a/one")).st_ino);
    EXPECT_EQ(read_text(at("three")), "same");
}

TEST_P(UnpackTest, KeepsHoles) {
    constexpr std::int64_t kSize = 16 << 20;
    unpack(image([&](Tar& tar) {
        std::string content(kSize, '\0');
        content.replace(kSize / 2, 4, "data");
        tar.file("sparse", content,
                 [&](archive_entry* e) { archive_entry_sparse_add_entry(e, kSize / 2, 4096); });
    }));
    const auto st = stat_of(at("sparse"));
    EXPECT_EQ(st.st_size, kSize);
    EXPECT_LT(st.st_blocks * 512, 2 << 20);
    EXPECT_EQ(read_text(at("sparse")).find("data"), static_cast<std::size_t>(kSize / 2));
}

TEST_P(UnpackTest, KeepsLongDeepAndOddNames) {
    const std::string long_name(255, 'n');
    std::string deep;
    for (int i = 0; i < 60; ++i) deep += fmt::format("{}directory{}", i == 0 ? "" : "/", i);
    unpack(image([&](Tar& tar) {
        tar.file(long_name, "long").file("gr\xc3\xbc\xc3\x9f e", "utf8").file("line\nbreak", "odd");
        tar.dir("d0");
        std::string at;
        for (int i = 0; i < 60; ++i) tar.dir(at += fmt::format("{}directory{}", i == 0 ? "" : "/", i));
        tar.file(deep + "/leaf", "deep");
    }));
    EXPECT_EQ(read_text(at(long_name)), "long");
    EXPECT_EQ(read_text(at("gr\xc3\xbc\xc3\x9f e")), "utf8");
    EXPECT_EQ(read_text(at("line\nbreak")), "odd");
    EXPECT_EQ(read_text(at(deep + "/leaf")), "deep");
}

TEST_P(UnpackTest, LeavesOutStandardDevicesAndSockets) {
    unpack(image([](Tar& tar) {
        tar.dir("dev").device("dev/null", AE_IFCHR, 1, 3).device("dev/console", AE_IFCHR, 5, 1);
        tar.symlink("dev/fd", "/proc/self/fd");
    }));
    EXPECT_FALSE(path_exists(at("dev/null")));
    EXPECT_TRUE(path_exists(at("dev/fd")));
}

TEST_P(UnpackTest, KeepsWhiteoutsAndHarmlessDevices) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make devices";
    unpack(image([](Tar& tar) {
        tar.dir("diff").device("diff/gone", AE_IFCHR, 0, 0);
        tar.dir("srv").dir("srv/dev").device("srv/dev/null", AE_IFCHR, 1, 3);
    }));
    const auto gone = stat_of(at("diff/gone")), null = stat_of(at("srv/dev/null"));
    EXPECT_TRUE(S_ISCHR(gone.st_mode) && S_ISCHR(null.st_mode));
    EXPECT_EQ(gone.st_rdev, makedev(0, 0));
    EXPECT_EQ(null.st_rdev, makedev(1, 3));
}

TEST_P(UnpackTest, GivesParentsThatAreNotNamedToRoot) {
    unpack(image([](Tar& tar) { tar.file("usr/share/doc/x", "text"); }));
    EXPECT_EQ(read_text(at("usr/share/doc/x")), "text");
    EXPECT_EQ(stat_of(at("usr/share")).st_mode & 07777u, 0755u);
    EXPECT_EQ(stat_of(at("")).st_mode & 07777u, 0755u);
}

TEST_P(UnpackTest, UnpacksManyFiles) {
    unpack(image([](Tar& tar) {
        for (int d = 0; d < 20; ++d) {
            tar.dir(fmt::format("d{}", d));
            for (int f = 0; f < 100; ++f)
                tar.file(fmt::format("d{}/f{}", d, f),
                         std::string(static_cast<std::size_t>(f * 97), 'a' + char(f % 26)));
        }
    }));
    for (int d = 0; d < 20; ++d) {
        for (int f = 0; f < 100; ++f) {
            ASSERT_EQ(read_text(at(fmt::format("d{}/f{}", d, f))),
                      std::string(static_cast<std::size_t>(f * 97), 'a' + char(f % 26)));
        }
    }
}

TEST_P(UnpackTest, ReportsProgressUpToTheEnd) {
    const auto files = image([](Tar& tar) {
        for (int f = 0; f < 50; ++f)
            tar.file(fmt::format("f{}", f), std::string(100'000, static_cast<char>('a' + f % 20)));
    });
    std::vector<int> seen;
    std::filesystem::create_directories(temp_ / "out");
    const UniqueFd fd(::open((temp_ / "out").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_OK(unpack_rootfs(files, fd.get(), {}, {}, [&](int percent) { seen.push_back(percent); }));
    ASSERT_FALSE(seen.empty());
    EXPECT_EQ(seen.back(), 100);
    EXPECT_TRUE(std::ranges::is_sorted(seen));
}

TEST_P(UnpackTest, StopsOnRequest) {
    const auto files = image([](Tar& tar) { tar.file("a", "x").file("b", "y"); });
    std::filesystem::create_directories(temp_ / "out");
    const UniqueFd fd(::open((temp_ / "out").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    std::stop_source stop;
    stop.request_stop();
    const auto result = unpack_rootfs(files, fd.get(), {}, stop.get_token(), nullptr);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().status, Status::unavailable);
}

TEST_P(UnpackTest, HoldsItsLimits) {
    const auto files = image([](Tar& tar) {
        for (int f = 0; f < 20; ++f) tar.file(fmt::format("f{}", f), std::string(200'000, 'z'));
    });
    const auto bytes = unpack_into(files, temp_ / "bytes", {.max_bytes = 1'000'000});
    ASSERT_FALSE(bytes);
    EXPECT_EQ(bytes.error().status, Status::bad_request);
    EXPECT_THAT(bytes.error().message, HasSubstr("more than 1000000 bytes"));
    const auto entries = unpack_into(files, temp_ / "entries", {.max_entries = 10});
    ASSERT_FALSE(entries);
    EXPECT_THAT(entries.error().message, HasSubstr("more than 10 entries"));
    const auto size = unpack_into(files, temp_ / "size", {.max_bytes = 1000});
    ASSERT_FALSE(size);
    EXPECT_THAT(size.error().message, HasSubstr("larger than 1000 bytes"));
}

TEST(UnpackUnifiedTest, TakesOnlyTheRootFileSystem) {
    TempDir temp;
    Tar tar(temp / "image", Packing::gzip);
    tar.file("metadata.yaml", kMetadata).dir("templates").file("templates/a.tpl", "hello");
    tar.dir("rootfs")
        .dir("rootfs/etc")
        .file("rootfs/etc/x", "inside")
        .link("rootfs/etc/y", "rootfs/etc/x")
        .file("other", "outside");
    const ImageFiles files{tar.close(), ""};
    ASSERT_OK(unpack_into(files, temp / "out"));
    EXPECT_EQ(read_text(temp / "out/etc/y"), "inside");
    EXPECT_FALSE(path_exists(temp / "out/other"));
    EXPECT_FALSE(path_exists(temp / "out/metadata.yaml"));
}

TEST(UnpackUnifiedTest, RefusesAnImageWithoutRoot) {
    TempDir temp;
    EXPECT_FALSE(unpack_into({plain_metadata(temp / "image"), ""}, temp / "out"));
}

TEST(UnpackSplitTest, TakesARootBelowItsOwnDirectoryToo) {
    TempDir temp;
    Tar tar(temp / "rootfs");
    tar.dir("./").dir("rootfs").file("rootfs/x", "inside");
    ASSERT_OK(unpack_into({plain_metadata(temp / "meta"), tar.close()}, temp / "out"));
    EXPECT_EQ(read_text(temp / "out/x"), "inside");
}

TEST(UnpackTarTest, LaterEntriesReplaceFilesAndLinksButNoDirectories) {
    TempDir temp;
    Tar tar(temp / "rootfs");
    tar.file("f", "old")
        .file("f", "new")
        .symlink("s", "f")
        .file("s", "plain")
        .file("victim", "kept")
        .symlink("t", "victim")
        .file("t", "x");
    ASSERT_OK(unpack_into({plain_metadata(temp / "meta"), tar.close()}, temp / "out"));
    EXPECT_EQ(read_text(temp / "out/f"), "new");
    EXPECT_EQ(read_text(temp / "out/s"), "plain");
    EXPECT_EQ(read_text(temp / "out/victim"), "kept");
}

TEST(UnpackTarTest, KeepsPosixAcls) {
    TempDir temp;
    const std::string tree = temp.make("tree");
    write_text(tree + "/f", "x");
    // u::rw-, u:54321:rwx, g::r--, m::rwx, o::--- in the layout of linux/posix_acl_xattr.h.
    const std::string acl(
        "\x02\x00\x00\x00"
        "\x01\x00\x06\x00\xff\xff\xff\xff"
        "\x02\x00\x07\x00\x31\xd4\x00\x00"
        "\x04\x00\x04\x00\xff\xff\xff\xff"
        "\x10\x00\x07\x00\xff\xff\xff\xff"
        "\x20\x00\x00\x00\xff\xff\xff\xff",
        44);
    if (::setxattr((tree + "/f").c_str(), "system.posix_acl_access", acl.data(), acl.size(), 0) != 0) {
        GTEST_SKIP() << "the file system has no POSIX ACLs";
    }
    ASSERT_OK(
        run_checked({.argv = {"tar", "--acls", "--format=posix", "-C", tree, "-cf", temp / "rootfs", "."}}));
    ASSERT_OK(unpack_into({plain_metadata(temp / "meta"), temp / "rootfs"}, temp / "out"));
    char value[128];
    ASSERT_EQ(::getxattr((temp / "out/f").c_str(), "system.posix_acl_access", value, sizeof value), 44);
    EXPECT_EQ(std::string(value, 44), acl);
}

TEST(UnpackTarTest, KeepsNamesThatAreNotUtf8) {
    TempDir temp;
    Tar tar(temp / "rootfs", Packing::none, ARCHIVE_FORMAT_TAR_GNUTAR);
    tar.file("caf\xe9", "latin1");
    ASSERT_OK(unpack_into({plain_metadata(temp / "meta"), tar.close()}, temp / "out"));
    EXPECT_EQ(read_text(temp / "out/caf\xe9"), "latin1");
}

}  // namespace
}  // namespace lxmgr::images
