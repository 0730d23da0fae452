#include <gmock/gmock.h>

#include "image_fixture.h"

namespace lxmgr::images {
namespace {

using testing::HasSubstr;

std::string sha256_of(const std::string& path) {
    const auto out = run_checked({.argv = {"sha256sum", path}});
    EXPECT_TRUE(out) << out.error().message;
    return out->substr(0, 64);
}

class ImportTest : public testing::Test {
protected:
    ImportTest() : store_(temp_.make("store")) {}
    std::string rootfs(Packing packing = Packing::gzip) {
        Tar tar(temp_ / "upload.rootfs", packing);
        tar.dir("./").dir("./etc").file("./etc/x", "y");
        return tar.close();
    }
    std::string error_of(const ImageFiles& upload) {
        const auto result = import_upload(upload, nullptr, store_, {});
        if (result) return "";
        EXPECT_EQ(result.error().status, Status::bad_request) << result.error().message;
        EXPECT_TRUE(std::filesystem::is_empty(store_));
        EXPECT_TRUE(path_exists(upload.metadata_path));
        return result.error().message;
    }
    /// The error of a metadata tarball with these entries beside a good root file system.
    std::string error_of_metadata(const std::function<void(Tar&)>& fill) {
        Tar tar(temp_ / "upload.meta");
        fill(tar);
        return error_of({tar.close(), rootfs()});
    }
    TempDir temp_{"/dev/shm"};
    std::string store_;
};

TEST_F(ImportTest, StoresAUnifiedImageUnderItsHash) {
    Tar tar(temp_ / "upload", Packing::xz);
    tar.file("./metadata.yaml", kMetadata).dir("./rootfs/").dir("./rootfs/etc");
    const std::string upload = tar.close();
    const std::string hash = sha256_of(upload);
    const auto size = std::filesystem::file_size(upload);
    const auto image = import_upload({upload, ""}, nullptr, store_, {});
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_EQ(image->fingerprint, hash);
    EXPECT_EQ(image->size_bytes, size);
    EXPECT_EQ(image->metadata.properties.at("os"), "Debian");
    EXPECT_EQ(image->files.metadata_path, store_ + "/" + hash);
    EXPECT_EQ(image->files.rootfs_path, "");
    EXPECT_EQ(sha256_of(image->files.metadata_path), hash);
    EXPECT_EQ(stat_of(image->files.metadata_path).st_mode & 07777u, 0600u);
    EXPECT_FALSE(path_exists(upload));
}

TEST_F(ImportTest, StoresASplitImageUnderTheHashOfBothParts) {
    for (const bool squashfs : {false, true}) {
        const std::string meta = plain_metadata(temp_ / "upload.meta");
        std::string root = rootfs(squashfs ? Packing::none : Packing::zstd);
        if (squashfs) root = to_squashfs(root, temp_ / "upload.squashfs");
        write_text(temp_ / "both", read_text(meta) + read_text(root));
        const std::string hash = sha256_of(temp_ / "both");
        const auto image = import_upload({meta, root}, nullptr, store_, {});
        ASSERT_TRUE(image) << image.error().message;
        EXPECT_EQ(image->fingerprint, hash);
        EXPECT_EQ(image->size_bytes, std::filesystem::file_size(temp_ / "both"));
        EXPECT_EQ(image->files.rootfs_path, store_ + "/" + hash + ".rootfs");
        EXPECT_EQ(read_text(image->files.metadata_path) + read_text(image->files.rootfs_path),
                  read_text(temp_ / "both"));
        EXPECT_FALSE(path_exists(meta));
        EXPECT_FALSE(path_exists(root));
    }
}

TEST_F(ImportTest, TheSameImageAgainReplacesALeftover) {
    for (int i = 0; i < 2; ++i) {
        const auto image =
            import_upload({plain_metadata(temp_ / "upload.meta"), rootfs()}, nullptr, store_, {});
        ASSERT_TRUE(image) << image.error().message;
    }
}

TEST_F(ImportTest, GivesTheUploadBackWhenTheSecondMoveFails) {
    const std::string meta = plain_metadata(temp_ / "upload.meta"), root = rootfs();
    write_text(temp_ / "both", read_text(meta) + read_text(root));
    const std::string blocked = fmt::format("{}/{}.rootfs", store_, sha256_of(temp_ / "both"));
    std::filesystem::create_directories(blocked + "/in the way");
    const auto image = import_upload({meta, root}, nullptr, store_, {});
    ASSERT_FALSE(image);
    EXPECT_EQ(image.error().status, Status::internal);
    EXPECT_TRUE(path_exists(meta));
    EXPECT_TRUE(path_exists(root));
    std::filesystem::remove_all(blocked);
    EXPECT_TRUE(std::filesystem::is_empty(store_));
}

TEST_F(ImportTest, UsesLxdsNamesOfArchitectures) {
    for (const auto& [given, name] :
         {std::pair{"amd64", "x86_64"}, std::pair{"arm64", "aarch64"}, std::pair{"riscv64", "riscv64"}}) {
        Tar tar(temp_ / "upload.meta");
        tar.file("metadata.yaml", fmt::format("architecture: {}\n", given));
        const auto image = import_upload({tar.close(), rootfs()}, nullptr, store_, {});
        ASSERT_TRUE(image) << image.error().message;
        EXPECT_EQ(image->metadata.architecture, name);
        std::filesystem::remove(image->files.metadata_path);
        std::filesystem::remove(image->files.rootfs_path);
    }
    EXPECT_THAT(error_of_metadata([](Tar& t) { t.file("metadata.yaml", "architecture: pdp11\n"); }),
                HasSubstr("pdp11"));
}

TEST_F(ImportTest, RefusesMetadataThatIsNotPlain) {
    EXPECT_THAT(error_of_metadata([](Tar& t) { t.file("other", "x"); }), HasSubstr("no metadata.yaml"));
    EXPECT_THAT(error_of_metadata([](Tar& t) { t.symlink("metadata.yaml", "/etc/shadow"); }),
                HasSubstr("no regular file"));
    EXPECT_THAT(error_of_metadata([](Tar& t) { t.dir("metadata.yaml"); }), HasSubstr("no regular file"));
    EXPECT_THAT(error_of_metadata([](Tar& t) { t.file("x", kMetadata).link("metadata.yaml", "x"); }),
                HasSubstr("no regular file"));
    EXPECT_THAT(error_of_metadata([](Tar& t) { t.add("metadata.yaml", AE_IFIFO); }),
                HasSubstr("no regular file"));
    EXPECT_THAT(error_of_metadata(
                    [](Tar& t) { t.file("metadata.yaml", kMetadata).file("./metadata.yaml", kMetadata); }),
                HasSubstr("twice"));
    EXPECT_THAT(error_of_metadata([](Tar& t) { t.file("metadata.yaml", "properties: {}\n"); }),
                HasSubstr("'architecture' is missing"));
    EXPECT_THAT(
        error_of_metadata([](Tar& t) { t.file("metadata.yaml", std::string(std::size_t{2} << 20, '#')); }),
        HasSubstr("larger than"));
    EXPECT_THAT(error_of_metadata([](Tar& t) { t.file("metadata.yaml", kMetadata).file("/abs", "x"); }),
                HasSubstr("absolute"));
}

TEST_F(ImportTest, RefusesTemplatesThatAreNotPlain) {
    const auto with = [this](const std::function<void(Tar&)>& fill) {
        return error_of_metadata([&](Tar& t) {
            t.file("metadata.yaml", kMetadata);
            fill(t);
        });
    };
    EXPECT_THAT(with([](Tar& t) { t.symlink("templates", "/etc"); }), HasSubstr("no directory"));
    EXPECT_THAT(with([](Tar& t) { t.file("templates", "x"); }), HasSubstr("no directory"));
    EXPECT_THAT(with([](Tar& t) { t.dir("templates").symlink("templates/a", "/etc/shadow"); }),
                HasSubstr("no regular file"));
    EXPECT_THAT(with([](Tar& t) { t.dir("templates").link("templates/a", "metadata.yaml"); }),
                HasSubstr("no regular file"));
    EXPECT_THAT(with([](Tar& t) { t.dir("templates").dir("templates/d"); }), HasSubstr("no regular file"));
    EXPECT_THAT(with([](Tar& t) { t.file("templates/d/f", "x"); }), HasSubstr("below templates/"));
    EXPECT_THAT(with([](Tar& t) { t.file("templates/a", "x").file("templates/a", "y"); }),
                HasSubstr("twice"));
    EXPECT_THAT(with([](Tar& t) { t.file("templates/a", std::string(std::size_t{2} << 20, 'x')); }),
                HasSubstr("too large"));
    EXPECT_THAT(
        error_of_metadata([](Tar& t) {
            t.file("metadata.yaml",
                   std::string(kMetadata) + "templates: {/etc/x: {template: gone.tpl, when: [create]}}\n");
        }),
        HasSubstr("'gone.tpl'"));
}

TEST_F(ImportTest, RefusesFilesThatAreNoImage) {
    const std::string meta = plain_metadata(temp_ / "upload.meta");
    write_text(temp_ / "text", "This is no archive at all.\n");
    write_text(temp_ / "nothing", "");
    write_text(temp_ / "qcow2", "QFI\xfb and so on");
    write_text(temp_ / "magic", "hsqs and nothing more");
    write_text(temp_ / "zeros", std::string(1 << 20, '\0'));
    for (const char* name : {"text", "nothing", "qcow2", "magic", "zeros"}) {
        EXPECT_NE(error_of({temp_ / name, ""}), "") << name;
        EXPECT_NE(error_of({meta, temp_ / name}), "") << name;
        EXPECT_NE(error_of({temp_ / name, rootfs()}), "") << name;
    }
    EXPECT_THAT(error_of({meta, temp_ / "qcow2"}), HasSubstr("virtual machines"));
    EXPECT_THAT(error_of({meta, ""}), HasSubstr("no root file system"));
    const std::string squashfs = to_squashfs(rootfs(Packing::none), temp_ / "squashfs");
    EXPECT_THAT(error_of({squashfs, ""}), HasSubstr("without its metadata"));
    std::filesystem::create_symlink(meta, temp_ / "link");
    EXPECT_FALSE(import_upload({temp_ / "link", rootfs()}, nullptr, store_, {}));
}

TEST_F(ImportTest, RefusesFilesThatAreCutOff) {
    const std::string content(500'000, 'x');
    for (const auto packing : {Packing::none, Packing::gzip, Packing::xz, Packing::zstd}) {
        {
            Tar tar(temp_ / "whole", packing);
            tar.file("metadata.yaml", kMetadata).dir("rootfs");
            std::string random;
            for (unsigned i = 0, x = 1; i < 500'000; ++i)
                random += static_cast<char>((x = x * 1103515245 + 12345) >> 16);
            tar.file("rootfs/f", random);
        }
        const std::string whole = read_text(temp_ / "whole");
        for (const std::size_t keep : {whole.size() / 2, whole.size() / 10 * 9, std::size_t{100}}) {
            write_text(temp_ / "cut", whole.substr(0, keep));
            EXPECT_NE(error_of({temp_ / "cut", ""}), "") << static_cast<int>(packing) << " " << keep;
        }
    }
}

TEST_F(ImportTest, StopsOnRequestAndLeavesTheUpload) {
    std::stop_source stop;
    stop.request_stop();
    const std::string meta = plain_metadata(temp_ / "upload.meta"), root = rootfs();
    const auto image = import_upload({meta, root}, nullptr, store_, stop.get_token());
    ASSERT_FALSE(image);
    EXPECT_EQ(image.error().status, Status::unavailable);
    EXPECT_TRUE(path_exists(meta));
    EXPECT_TRUE(path_exists(root));
    EXPECT_TRUE(std::filesystem::is_empty(store_));
}

}  // namespace
}  // namespace lxmgr::images
