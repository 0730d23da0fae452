#include <gmock/gmock.h>
#include <sys/sysmacros.h>

#include "images/backup_reader.h"
#include "images/tar_writer.h"
#include "images/yaml_json.h"
#include "tests/unit/images/image_fixture.h"
#include "tests/unit/images/text_bytes.h"

namespace lxmgr::images {
namespace {

using nlohmann::json;
using testing::HasSubstr;

UniqueFd open_directory(const std::string& path) {
    return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}
UniqueFd new_file(const std::string& path) {
    return UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
}

std::shared_ptr<ByteSource> bytes_of(const std::string& path) {
    return std::make_shared<TextBytes>(read_text(path), 1 << 16);
}

std::vector<BackupPart> root_part(const UniqueFd& root) { return {{"backup/container/rootfs", root.get()}}; }

class BackupTest : public testing::Test {
protected:
    void write(Compression compression) {
        auto tar = TarWriter::open(new_file(dir_ / "b.tar"), compression, {});
        ASSERT_TRUE(tar);
        ASSERT_TRUE(tar->add_text("backup/index.yaml", "name: c\n", 0644));
        ASSERT_TRUE(tar->add_text("backup/container/metadata.yaml", "architecture: x86_64\n", 0644));
        const auto tree = open_directory(dir_ / "tree");
        ASSERT_TRUE(tar->add_tree("backup/container/rootfs", tree.get()));
        ASSERT_TRUE(tar->finish());
    }
    Result<Metadata> unpack() {
        const auto root = open_directory(dir_.make("out"));
        BackupReader backup(bytes_of(dir_ / "b.tar"));
        LX_TRY(backup.index());
        return backup.unpack(root_part(root), "backup/container", {});
    }
    TempDir dir_;
};

}  // namespace

TEST_F(BackupTest, WhatWasWrittenIsReadBack) {
    const std::string tree = dir_.make("tree/d");
    write_text(tree + "/ä b", "text");
    std::filesystem::create_hard_link(tree + "/ä b", dir_ / "tree/link");
    std::filesystem::create_symlink("../gone", dir_ / "tree/soft");
    write_text(tree + "/holes", "");
    ASSERT_EQ(::truncate((tree + "/holes").c_str(), 1 << 20), 0);
    ASSERT_EQ(::chmod((tree + "/ä b").c_str(), 04751), 0);
    ASSERT_EQ(::setxattr(tree.c_str(), "user.mark", "x\0y", 3, 0), 0);
    for (const auto compression :
         {Compression::none, Compression::gzip, Compression::xz, Compression::zstd}) {
        write(compression);
        const auto metadata = unpack();
        ASSERT_TRUE(metadata) << metadata.error().message;
        EXPECT_EQ(metadata->architecture, "x86_64");
        EXPECT_EQ(read_text(dir_ / "out/link"), "text");
        EXPECT_EQ(stat_of(dir_ / "out/link").st_nlink, 2u);
        EXPECT_EQ(stat_of(dir_ / "out/d/ä b").st_mode & 07777, 04751u);
        EXPECT_EQ(std::filesystem::read_symlink(dir_ / "out/soft"), "../gone");
        EXPECT_EQ(stat_of(dir_ / "out/d/holes").st_size, 1 << 20);
        EXPECT_EQ(stat_of(dir_ / "out/d/holes").st_blocks, 0);
        char value[8];
        EXPECT_EQ(::getxattr((dir_ / "out/d").c_str(), "user.mark", value, sizeof value), 3);
        std::filesystem::remove_all(dir_ / "out");
        std::filesystem::remove(dir_ / "b.tar");
    }
}

TEST_F(BackupTest, DevicesAreWrittenOnlyIfTheyCanBeReadBack) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make devices";
    dir_.make("tree/dev");
    const auto node = [&](std::string_view path, mode_t type, dev_t device) {
        ASSERT_EQ(::mknod((dir_ / path).c_str(), type | 0620, device), 0) << path;
        ASSERT_EQ(::lchown((dir_ / path).c_str(), 7, 8), 0) << path;
        ASSERT_EQ(::chmod((dir_ / path).c_str(), 0640), 0) << path;
    };
    node("tree/gone", S_IFCHR, makedev(0, 0));
    node("tree/null", S_IFCHR, makedev(1, 3));
    std::filesystem::create_hard_link(dir_ / "tree/gone", dir_ / "tree/too");
    node("tree/dev/console", S_IFCHR, makedev(5, 1));
    node("tree/disk", S_IFBLK, makedev(8, 0));
    node("tree/mem", S_IFCHR, makedev(1, 1));
    write(Compression::none);
    const auto read = unpack();
    ASSERT_TRUE(read) << read.error().message;
    const auto gone = stat_of(dir_ / "out/gone");
    EXPECT_EQ(gone.st_mode, S_IFCHR | 0640U);
    EXPECT_EQ(std::tuple(gone.st_uid, gone.st_gid, gone.st_nlink, gone.st_rdev), std::tuple(7U, 8U, 2U, 0U));
    EXPECT_EQ(stat_of(dir_ / "out/null").st_rdev, makedev(1, 3));
    EXPECT_FALSE(path_exists(dir_ / "out/dev/console"));  // the runtime's
    for (const char* left_out : {"out/disk", "out/mem"}) EXPECT_FALSE(path_exists(dir_ / left_out));
}

TEST_F(BackupTest, APartThatIsNotThereIsAnError) {
    dir_.make("tree");
    write(Compression::none);
    const auto root = open_directory(dir_.make("out"));
    BackupReader backup(bytes_of(dir_ / "b.tar"));
    ASSERT_TRUE(backup.index());
    const auto gone = backup.unpack({{"backup/snapshots/s/rootfs", root.get()}}, "", {});
    ASSERT_FALSE(gone);
    EXPECT_THAT(gone.error().message, HasSubstr("backup/snapshots/s"));
}

TEST_F(BackupTest, OfABlockVolumeItsContentIsTakenAndNothingElse) {
    const std::string zeros(1 << 20, '\0');
    const auto unpack_as = [&](const std::string& path, int times) {
        std::filesystem::remove(dir_ / "b.tar");
        auto tar = TarWriter::open(new_file(dir_ / "b.tar"), Compression::none, {});
        EXPECT_TRUE(tar);
        EXPECT_TRUE(tar->add_text("backup/index.yaml", "name: v\n", 0644));
        EXPECT_TRUE(tar->add_text("backup/volume/passwd", "evil", 0644));
        for (int i = 0; i < times; ++i)
            EXPECT_TRUE(tar->add_text(path, "begin" + zeros + "end" + zeros, 04777));
        EXPECT_TRUE(tar->finish());
        const auto root = open_directory(dir_.make("out"));
        BackupReader backup(bytes_of(dir_ / "b.tar"));
        EXPECT_TRUE(backup.index());
        return backup.unpack({{"backup/volume", root.get(), nullptr, "root.img"}}, "", {});
    };
    for (const char* path : {"backup/volume.img", "backup/volume/root.img"}) {
        ASSERT_TRUE(unpack_as(path, 1));
        EXPECT_EQ(read_text(dir_ / "out/root.img"), "begin" + zeros + "end" + zeros);
        EXPECT_EQ(stat_of(dir_ / "out/root.img").st_mode, S_IFREG | 0600U);
        EXPECT_LT(stat_of(dir_ / "out/root.img").st_blocks, 100);
        EXPECT_FALSE(std::filesystem::exists(dir_ / "out/passwd"));
        std::filesystem::remove(dir_ / "out/root.img");
    }
    EXPECT_THAT(unpack_as("backup/volume.img", 2).error().message, HasSubstr("twice"));
    std::filesystem::remove(dir_ / "out/root.img");
    EXPECT_THAT(unpack_as("backup/other.img", 1).error().message, HasSubstr("has no 'backup/volume'"));
}

TEST_F(BackupTest, ItIsReadAsItComes) {
    const std::string tree = dir_.make("tree");
    for (const char* name : {"a", "b"}) write_text(tree + "/" + name, std::string(1 << 20, *name));
    for (const auto compression : {Compression::none, Compression::gzip, Compression::zstd}) {
        write(compression);
        const std::string all = read_text(dir_ / "b.tar");
        for (const std::size_t step : {std::size_t{1}, std::size_t{511}, std::size_t{100'000}, all.size()}) {
            const auto root = open_directory(dir_.make("out"));
            auto bytes = std::make_shared<TextBytes>(all, step);
            BackupReader backup(bytes);
            ASSERT_EQ(backup.index().value()["name"], "c");
            std::uint64_t last = 0;
            const auto progress = [&](std::uint64_t read) { last = read; };
            ASSERT_TRUE(backup.unpack(root_part(root), "backup/container", {.progress = progress}));
            EXPECT_EQ(read_text(dir_ / "out/b"), std::string(1 << 20, 'b'));
            EXPECT_EQ(bytes->left(), 0u) << "the end was not waited for";
            EXPECT_GT(last, 0u);
            std::filesystem::remove_all(dir_ / "out");
        }
        std::filesystem::remove(dir_ / "b.tar");
    }
}

TEST_F(BackupTest, WhatBreaksOnTheWayIsItsError) {
    write_text(dir_.make("tree") + "/a", std::string(100'000, 'a'));
    write(Compression::none);
    const std::string all = read_text(dir_ / "b.tar");
    for (const std::size_t gone : {all.size() - 1, std::size_t{1}, std::size_t{512}, all.size() / 2}) {
        const auto root = open_directory(dir_.make("out"));
        BackupReader backup(std::make_shared<TextBytes>(all.substr(0, all.size() - gone), 4096, "lost"));
        const auto index = backup.index();
        const auto read = index ? backup.unpack(root_part(root), "backup/container", {})
                                : Result<Metadata>(std::unexpected(index.error()));
        ASSERT_FALSE(read) << gone;
        EXPECT_EQ(read.error().message, "lost");
        std::filesystem::remove_all(dir_ / "out");
    }
}

TEST_F(BackupTest, AReadingThatIsStoppedEnds) {
    write_text(dir_.make("tree") + "/a", std::string(100'000, 'a'));
    write(Compression::none);
    const auto root = open_directory(dir_.make("out"));
    BackupReader backup(bytes_of(dir_ / "b.tar"));
    ASSERT_TRUE(backup.index());
    std::stop_source stop;
    stop.request_stop();
    const auto read = backup.unpack(root_part(root), "backup/container", {.stop = stop.get_token()});
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().status, Status::unavailable);
}

TEST_F(BackupTest, AnArchiveWithoutAnIndexInFrontIsRefused) {
    auto tar = TarWriter::open(new_file(dir_ / "b.tar"), Compression::none, {});
    ASSERT_TRUE(tar && tar->add_text("other", "x", 0644) && tar->finish());
    const auto index = BackupReader(bytes_of(dir_ / "b.tar")).index();
    ASSERT_FALSE(index);
    EXPECT_EQ(index.error().status, Status::bad_request);
}

TEST(YamlJsonTest, TextStaysTextThroughYaml) {
    const json object{{"y", "yes"},
                      {"config", {{"user.a", "12"}, {"user.b", "true"}, {"1", "no"}}},
                      {"flag", true},
                      {"list", {"a", "- b: c"}},
                      {"empty", json::array()},
                      {"number", -1},
                      {"none", nullptr},
                      {"created_at", "2026-01-02T03:04:05Z"}};
    const std::string yaml = json_to_yaml(object);
    EXPECT_THAT(yaml, HasSubstr("created_at: 2026-01-02T03:04:05Z\n"));
    EXPECT_THAT(yaml, HasSubstr("user.a: \"12\"\n"));
    EXPECT_EQ(yaml_to_json(yaml, "it").value(), object);
}

TEST(YamlJsonTest, WhatIsNoYamlIsAnError) {
    EXPECT_THAT(yaml_to_json("a: [", "The index").error().message, HasSubstr("The index is not YAML"));
    std::string bomb = "a: &a [x, x, x, x, x, x, x, x]\n";
    for (char c = 'b'; c < 'j'; ++c)
        bomb += fmt::format("{}: &{} [*{}, *{}, *{}, *{}, *{}, *{}, *{}]\n", c, c, char(c - 1), char(c - 1),
                            char(c - 1), char(c - 1), char(c - 1), char(c - 1), char(c - 1));
    EXPECT_THAT(yaml_to_json(bomb, "it").error().message, HasSubstr("too many"));
}

}  // namespace lxmgr::images
