#include <gmock/gmock.h>

#include "image_fixture.h"

namespace lxmgr::images {
namespace {

using testing::HasSubstr;

struct Hostile {
    const char* name;
    std::function<void(Tar&)> fill;  ///< the root file system, at the top of its tarball
    const char* message;
    bool found_by_scan = true;  ///< import finds it without a file system to look at
    bool in_squashfs = false;   ///< tar2sqfs can carry it over
};

const std::vector<Hostile>& hostile_images() {
    static const std::vector<Hostile> all{
        {"AbsoluteName", [](Tar& t) { t.file("/lxmgr-evil", "x"); }, "absolute name"},
        {"DotDot", [](Tar& t) { t.file("../lxmgr-evil", "x"); }, "'..'"},
        {"DotDotInside", [](Tar& t) { t.dir("a").file("a/../../lxmgr-evil", "x"); }, "'..'"},
        {"DotDotDirectory", [](Tar& t) { t.dir("a/.."); }, "'..'"},
        {"SymlinkParentAbsolute", [](Tar& t) { t.symlink("a", "/canary").file("a/evil", "x"); },
         "behind a symlink"},
        {"SymlinkParentRelative", [](Tar& t) { t.symlink("a", "../canary").file("a/evil", "x"); },
         "behind a symlink"},
        {"SymlinkParentInside", [](Tar& t) { t.dir("d").symlink("a", "d").file("a/evil", "x"); },
         "behind a symlink"},
        {"SymlinkGrandparent",
         [](Tar& t) { t.symlink("a", "..").dir("a/canary").file("a/canary/evil", "x"); }, "behind a symlink"},
        {"SymlinkParentOfSymlink", [](Tar& t) { t.symlink("a", "..").symlink("a/evil", "x"); },
         "behind a symlink"},
        {"SymlinkParentOfLink", [](Tar& t) { t.file("f", "x").symlink("a", "..").link("a/evil", "f"); },
         "behind a symlink"},
        {"SymlinkParentOfFifo", [](Tar& t) { t.symlink("a", "..").add("a/evil", AE_IFIFO); },
         "behind a symlink"},
        {"LinkAbsolute", [](Tar& t) { t.link("l", "/etc/passwd"); }, "hard link out of the image"},
        {"LinkDotDot", [](Tar& t) { t.link("l", "../canary/file"); }, "hard link out of the image"},
        {"LinkThroughSymlink", [](Tar& t) { t.symlink("a", "../canary").link("l", "a/file"); },
         "behind a symlink", false},
        {"LinkToDirectory", [](Tar& t) { t.dir("d").link("l", "d"); }, "hard link to a directory", false},
        {"LinkToNothing", [](Tar& t) { t.link("l", "not/here"); }, "does not come before", false},
        {"LinkToRoot", [](Tar& t) { t.link("l", "./"); }, "hard link to the root"},
        {"BlockDevice", [](Tar& t) { t.dir("dev").device("dev/sda", AE_IFBLK, 8, 0); }, "block device 8:0",
         true, true},
        {"CharDevice", [](Tar& t) { t.device("mem", AE_IFCHR, 1, 1); }, "character device 1:1", true, true},
        {"DeviceUnderAStandardName", [](Tar& t) { t.dir("dev").device("dev/null", AE_IFCHR, 1, 1); },
         "character device 1:1", true, true},
        {"BlockDeviceZero", [](Tar& t) { t.device("etc", AE_IFBLK, 0, 0); }, "block device 0:0", true, true},
        {"ConsoleElsewhere", [](Tar& t) { t.device("console", AE_IFCHR, 5, 1); }, "character device 5:1",
         true, true},
        {"FileOverDirectory", [](Tar& t) { t.dir("d").file("d/x").file("d", "x"); }, "replace a directory",
         false},
        {"SymlinkOverDirectory", [](Tar& t) { t.dir("d").symlink("d", "../canary").file("d/evil", "x"); },
         "replace a directory", false},
        {"DirectoryOverSymlink", [](Tar& t) { t.symlink("d", "../canary").dir("d"); },
         "a directory and something else", false},
        {"ChildOfFile", [](Tar& t) { t.file("f", "x").file("f/x", "y"); },
         "below something that is no directory", false},
        {"RootIsSymlink", [](Tar& t) { t.symlink(".", "/etc"); }, "is the root"},
        {"RootIsFile", [](Tar& t) { t.file(".", "x"); }, "is the root"},
        {"OwnerOutOfRange",
         [](Tar& t) { t.file("f", "x", [](archive_entry* e) { archive_entry_set_uid(e, 0xffffffff); }); },
         "owner out of range"},
        {"NameTooLong", [](Tar& t) { t.file(std::string(300, 'n'), "x"); }, "too long"},
        {"PathTooLong",
         [](Tar& t) {
             std::string p;
             for (int i = 0; i < 50; ++i) p += std::string(100, 'd') + "/";
             t.file(p + "f", "x");
         },
         "too long"},
        {"BadCapability",
         [](Tar& t) {
             t.file("f", "x", [](archive_entry* e) {
                 archive_entry_xattr_add_entry(e, "security.capability", "junk", 4);
             });
         },
         "unusable extended attribute", false, true},
        {"Empty", [](Tar& t) { t.dir("."); }, "empty", true, false},
    };
    return all;
}

struct Case {
    std::string name;
    const Hostile* hostile;
    std::string format;
};

void PrintTo(const Case& tested, std::ostream* out) { *out << tested.name; }

std::vector<Case> cases() {
    std::vector<Case> out;
    for (const auto& hostile : hostile_images()) {
        for (const char* format : {"tar", "gzip", "xz", "zstd", "unified", "squashfs"}) {
            if (format == std::string_view("squashfs") && !hostile.in_squashfs) continue;
            out.push_back({fmt::format("{}In{}", hostile.name, format), &hostile, format});
        }
    }
    return out;
}

/// What a directory tree holds, to see that nothing in it was touched.
std::string listing(const std::string& directory) {
    std::vector<std::string> lines;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
        const auto st = stat_of(entry.path());
        lines.push_back(fmt::format("{} {:o} {} {} {} {}.{}", entry.path().native(), st.st_mode, st.st_uid,
                                    st.st_nlink, st.st_size, st.st_ctim.tv_sec, st.st_ctim.tv_nsec));
    }
    std::ranges::sort(lines);
    return fmt::format("{}", fmt::join(lines, "\n"));
}

class HostileTest : public testing::TestWithParam<Case> {
protected:
    HostileTest() {
        temp_.make("box/canary");
        write_text(temp_ / "box/canary/file", "untouched");
    }
    ImageFiles image() {
        const auto& [name, hostile, format] = GetParam();
        if (format == "unified") return unified(*hostile);
        const ImageFiles files{plain_metadata(temp_ / "meta"), temp_ / "rootfs"};
        {
            Tar tar(format == "squashfs" ? temp_ / "plain" : files.rootfs_path, packing(format));
            if (hostile->name != std::string_view("RootIsSymlink") &&
                hostile->name != std::string_view("Empty"))
                tar.dir("benign");
            hostile->fill(tar);
        }
        if (format == "squashfs") to_squashfs(temp_ / "plain", files.rootfs_path);
        return files;
    }
    /// The same entries below rootfs/: rewritten from the split form, names that leave being left as they
    /// are.
    ImageFiles unified(const Hostile& hostile) {
        {
            Tar tar(temp_ / "plain");
            hostile.fill(tar);
        }
        archive* in = archive_read_new();
        archive_read_support_format_tar(in);
        EXPECT_EQ(archive_read_open_filename(in, (temp_ / "plain").c_str(), 65536), ARCHIVE_OK);
        Tar out(temp_ / "unified", Packing::zstd);
        out.file("metadata.yaml", kMetadata).dir("rootfs");
        for (archive_entry* entry = nullptr; archive_read_next_header(in, &entry) == ARCHIVE_OK;) {
            const auto below = [](std::string_view path) {
                return path.starts_with("/") || path.starts_with("../") ? std::string(path)
                                                                        : fmt::format("rootfs/{}", path);
            };
            archive_entry* copy = archive_entry_clone(entry);
            out.add(below(archive_entry_pathname(entry)), archive_entry_filetype(entry), "",
                    [&](archive_entry* e) {
                        archive_entry_set_uid(e, archive_entry_uid(copy));
                        archive_entry_set_rdev(e, archive_entry_rdev(copy));
                        archive_entry_copy_symlink(e, archive_entry_symlink(copy));
                        if (const char* target = archive_entry_hardlink(copy))
                            archive_entry_copy_hardlink(e, below(target).c_str());
                        archive_entry_copy_stat(e, archive_entry_stat(copy));
                        const char* name = nullptr;
                        const void* value = nullptr;
                        std::size_t size = 0;
                        archive_entry_xattr_reset(copy);
                        while (archive_entry_xattr_next(copy, &name, &value, &size) == ARCHIVE_OK)
                            archive_entry_xattr_add_entry(e, name, value, size);
                        if (archive_entry_hardlink(copy) == nullptr) archive_entry_set_size(e, 0);
                    });
            archive_entry_free(copy);
        }
        archive_read_free(in);
        return {out.close(), ""};
    }
    static Packing packing(std::string_view format) {
        return format == "gzip"   ? Packing::gzip
               : format == "xz"   ? Packing::xz
               : format == "zstd" ? Packing::zstd
                                  : Packing::none;
    }
    TempDir temp_{"/dev/shm"};
};

INSTANTIATE_TEST_SUITE_P(Images, HostileTest, testing::ValuesIn(cases()),
                         [](const auto& tested) { return tested.param.name; });

TEST_P(HostileTest, IsRefusedAndTouchesNothingOutside) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: without it the kernel refuses some of these by itself";
    const ImageFiles files = image();
    const std::string before = listing(temp_ / "box/canary");
    const auto unpacked = unpack_into(files, temp_ / "box/out");
    if (GetParam().hostile->name != std::string_view("Empty")) {
        ASSERT_FALSE(unpacked);
        EXPECT_EQ(unpacked.error().status, Status::bad_request) << unpacked.error().message;
        EXPECT_THAT(unpacked.error().message, HasSubstr(GetParam().hostile->message));
    }
    EXPECT_EQ(listing(temp_ / "box/canary"), before);
    EXPECT_FALSE(path_exists("/lxmgr-evil"));
    EXPECT_FALSE(path_exists(temp_ / "box/lxmgr-evil"));
    EXPECT_FALSE(path_exists(temp_ / "box/evil"));
}

TEST_P(HostileTest, IsRefusedByImportWhereAScanCanSeeIt) {
    const ImageFiles files = image();
    const std::string store = temp_.make("store");
    const auto imported = import_upload(files, nullptr, store, {});
    if (!GetParam().hostile->found_by_scan) return;
    ASSERT_FALSE(imported);
    EXPECT_EQ(imported.error().status, Status::bad_request) << imported.error().message;
    EXPECT_TRUE(std::filesystem::is_empty(store));
    EXPECT_TRUE(path_exists(files.metadata_path));
}

TEST(BombTest, StopsAtTheLimitWhileDecompressing) {
    TempDir temp;
    {
        // 512 MiB of zeros in one entry that is not part of the root: it would be skipped, and costs as much.
        Tar tar(temp / "image", Packing::zstd);
        tar.file("metadata.yaml", kMetadata)
            .file("junk", std::string(std::size_t{512} << 20, '\0'))
            .dir("rootfs")
            .dir("rootfs/etc");
    }
    EXPECT_LT(std::filesystem::file_size(temp / "image"), 1u << 20);
    const auto result = unpack_into({temp / "image", ""}, temp / "out", {.max_bytes = 1 << 20});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().status, Status::bad_request);
    EXPECT_THAT(result.error().message, HasSubstr("decompresses to more than"));
}

TEST(BombTest, RefusesAFileLargerThanAnyImageByItsHeader) {
    TempDir temp;
    // One ustar header (POSIX.1-1988) with a size of 8 TiB in GNU's base-256 form, and nothing after it.
    std::string header(512, '\0');
    const auto put = [&header](std::size_t at, std::string_view text) {
        header.replace(at, text.size(), text);
    };
    put(0, "f");
    put(100, "0000644");
    put(124, std::string_view("\x80\0\0\0\0\0\x08\0\0\0\0\0", 12));
    put(136, "00000000000");
    put(156, "0");
    put(257, std::string_view("ustar\0"
                              "00",
                              8));
    put(148, "        ");
    unsigned sum = 0;
    for (const char c : header) sum += static_cast<unsigned char>(c);
    put(148, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
    write_text(temp / "rootfs", header);
    const auto result = unpack_into({plain_metadata(temp / "meta"), temp / "rootfs"}, temp / "out");
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().message, HasSubstr("larger than"));
}

TEST(BombTest, MetadataTarballHasItsOwnLimit) {
    TempDir temp;
    {
        Tar tar(temp / "meta", Packing::zstd);
        tar.file("junk", std::string(std::size_t{256} << 20, '\0')).file("metadata.yaml", kMetadata);
    }
    Tar rootfs(temp / "rootfs");
    rootfs.dir("etc");
    const auto result = import_upload({temp / "meta", rootfs.close()}, nullptr, temp.make("store"), {});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().status, Status::bad_request);
}

}  // namespace
}  // namespace lxmgr::images
