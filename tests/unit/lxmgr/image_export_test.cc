#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "lxmgr/images.h"
#include "tests/unit/lxmgr/fake_daemon.h"

namespace lxmgr::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// SHA-256 of "abc".
const std::string kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const std::string kNames[] = {"meta-" + kAbc + ".tar.xz", kAbc + ".squashfs"};

std::string part_of(const std::string& name, const std::string& filename, const std::string& content) {
    return fmt::format(
        "--x\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\n"
        "Content-Type: application/octet-stream\r\n\r\n{}\r\n",
        name, filename, content);
}

class ExportTest : public ::testing::Test {
protected:
    Result<std::vector<std::string>> exported(const std::string& body, const std::string& headers,
                                              const std::string& target = "/") {
        FakeDaemon daemon([&](const FakeDaemon::Request&) { return answer(200, body, headers); });
        Client client(daemon.socket_path());
        return export_image(client, kAbc, made_.path() + target);
    }
    Result<std::vector<std::string>> split(const std::string& body, const std::string& target = "/") {
        return exported(body, "Content-Type: multipart/form-data; boundary=x\r\n", target);
    }
    [[nodiscard]] std::string read(const std::string& name) const {
        std::ifstream file(made_.path() + "/" + name);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    [[nodiscard]] bool is_empty() const { return fs::is_empty(made_.path()); }
    TemporaryDirectory made_ = *TemporaryDirectory::create();
};

TEST_F(ExportTest, SplitIntoAFolder) {
    const auto files =
        split(part_of("metadata", kNames[0], "a") + part_of("rootfs", kNames[1], "bc") + "--x--\r\n");
    ASSERT_TRUE(files) << files.error().message;
    EXPECT_EQ(files->size(), 2U);
    EXPECT_EQ(read(kNames[0]), "a");
    EXPECT_EQ(read(kNames[1]), "bc");
}

TEST_F(ExportTest, NamesGetTheFilesEndings) {
    ASSERT_TRUE(
        split(part_of("metadata", kNames[0], "a") + part_of("rootfs", kNames[1], "bc") + "--x--", "/mine"));
    EXPECT_EQ(read("mine.tar.xz") + read("mine.root.squashfs"), "abc");
    const std::string header = "Content-Disposition: attachment;filename=" + kAbc + ".tar.gz\r\n";
    ASSERT_TRUE(exported("abc", header, "/one"));
    ASSERT_TRUE(exported("abc", header, "/two.tar.gz"));
    ASSERT_TRUE(exported("abc", header));
    EXPECT_EQ(read("one.tar.gz") + read("two.tar.gz") + read(kAbc + ".tar.gz"), "abcabcabc");
}

TEST_F(ExportTest, PartsOfOneByteAndWithHalfADelimiter) {
    std::string content;
    for (int i = 0; i < 3000; ++i) content += fmt::format("\r\n--{}\r\n-\r", i);
    std::string whole = "a" + content;
    const std::string path = made_.path() + "/whole";
    std::ofstream(path) << whole;
    const std::string fingerprint = *fingerprint_of({path});
    FakeDaemon daemon([&](const FakeDaemon::Request&) {
        return answer(200,
                      part_of("metadata", "m.tar", "a") + part_of("rootfs", "r.tar", content) + "--x--\r\n",
                      "Content-Type: multipart/form-data; boundary=x\r\n");
    });
    Client client(daemon.socket_path());
    ASSERT_TRUE(export_image(client, fingerprint, made_.path() + "/n"));
    EXPECT_EQ(read("n.tar"), "a");
    EXPECT_EQ(read("n.root.tar"), content);
}

TEST_F(ExportTest, TheServersNamesLeadNowhere) {
    ASSERT_TRUE(
        split(part_of("metadata", "../../m", "a") + part_of("rootfs", "r.x/../../y", "bc") + "--x--\r\n"));
    EXPECT_EQ(read("meta-" + kAbc), "a");
    EXPECT_EQ(read(kAbc), "bc");
}

TEST_F(ExportTest, WhatIsNotWholeLeavesNothing) {
    const std::string metadata = part_of("metadata", kNames[0], "a");
    for (const auto& [body, says] :
         {std::pair{metadata + "--x\r\nContent-Disposition: form-data; name=\"rootfs\"\r\n\r\nbc",
                    "ended in the middle"},
          {metadata + "--x\r\nContent-Disp", "ended in the middle"},
          {std::string("no parts at all"), "not a list of files"},
          {metadata + part_of("rootfs", kNames[1], "other") + "--x--\r\n", "has fingerprint"}}) {
        const auto files = split(body);
        ASSERT_FALSE(files);
        EXPECT_THAT(files.error().message, HasSubstr(says));
        EXPECT_TRUE(is_empty()) << body;
    }
    const auto one = exported("abd", "");
    ASSERT_FALSE(one);
    EXPECT_THAT(one.error().message, HasSubstr("has fingerprint"));
    EXPECT_TRUE(is_empty());
    ASSERT_FALSE(exported("abc", "", "/missing/"));
}

class ImportFolderTest : public ExportTest {};

TEST_F(ImportFolderTest, MustHoldAnImage) {
    FakeDaemon daemon([](const FakeDaemon::Request&) { return sync_answer("{}"); });
    Client client(daemon.socket_path());
    const auto none = import_folder(client, made_.path(), {});
    ASSERT_FALSE(none);
    EXPECT_THAT(none.error().message, HasSubstr("must hold metadata.yaml and rootfs"));
    // The fake daemon has every image: nothing is sent, and the same tree gives the same fingerprint.
    fs::create_directories(made_.path() + "/rootfs/etc");
    std::ofstream(made_.path() + "/metadata.yaml") << "architecture: x86_64\n";
    const auto first = import_folder(client, made_.path(), {});
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_EQ(*import_folder(client, made_.path(), {}), *first);
    EXPECT_EQ(first->size(), kAbc.size());
}

}  // namespace
}  // namespace lxmgr::cli
