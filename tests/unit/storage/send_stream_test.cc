#include "storage/btrfs/send_stream.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "storage/btrfs/stream_applier.h"
#include "storage/btrfs/stream_size.h"

namespace lxmgr::storage {
namespace {

namespace fs = std::filesystem;
using Kind = StreamCommandKind;
using Attribute = StreamAttribute;
using testing::HasSubstr;

template <typename T>
std::string little_bytes(T value) {
    std::string out;
    for (std::size_t i = 0; i < sizeof value; ++i)
        out += static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i));
    return out;
}
using Attributes = std::vector<std::pair<Attribute, std::string>>;

std::string number(std::uint64_t value) { return little_bytes(value); }
std::string preamble(std::uint32_t version = 1) {
    return std::string("btrfs-stream\0", 13) + little_bytes(version);
}
std::string command(Kind kind, const Attributes& attributes) {
    std::string body;
    for (const auto& [type, value] : attributes)
        body += little_bytes(static_cast<std::uint16_t>(type)) +
                little_bytes(static_cast<std::uint16_t>(value.size())) + value;
    const std::string head = little_bytes(static_cast<std::uint32_t>(body.size())) +
                             little_bytes(static_cast<std::uint16_t>(kind));
    return head + little_bytes(stream_crc(head + std::string(4, '\0') + body)) + body;
}
std::string end() { return command(Kind::end, {}); }

class SendStreamTest : public testing::Test {
protected:
    Result<> read(const std::string& bytes, std::size_t piece = 4096) {
        SendStream stream([this](const StreamCommand& one) -> Result<> {
            if (one.kind == Kind::end) return {};
            LX_TRY_AS(const auto path, one.path(Attribute::path));
            paths_.push_back(path);
            return {};
        });
        for (std::size_t at = 0; at < bytes.size(); at += piece) LX_TRY(stream.feed(bytes.substr(at, piece)));
        return stream.finish();
    }
    std::string error_of(const std::string& bytes) {
        const auto result = read(bytes);
        if (result) return "";
        EXPECT_EQ(result.error().status, Status::bad_request) << result.error().message;
        return result.error().message;
    }
    std::vector<std::string> paths_;
};

TEST_F(SendStreamTest, LengthIsToldWithoutContent) {
    const auto length = [](const std::string& commands, std::uint64_t& more) {
        StreamSize size;
        SendStream stream([&size](const StreamCommand& one) { return size.add(one); });
        EXPECT_TRUE(stream.feed(commands));
        more = size.more_bytes();
        return commands.size();
    };
    const std::string rest =
        command(Kind::make_file, {{Attribute::path, "a/b"}, {Attribute::inode, number(7)}});
    const auto write = [](std::uint64_t offset, std::size_t size) {
        return command(Kind::write, {{Attribute::path, "a/b"},
                                     {Attribute::offset, number(offset)},
                                     {Attribute::data, std::string(size, 'x')}});
    };
    const auto extent = [](std::uint64_t offset, std::uint64_t size) {
        return command(
            Kind::update_extent,
            {{Attribute::path, "a/b"}, {Attribute::offset, number(offset)}, {Attribute::size, number(size)}});
    };
    std::uint64_t more = 0;
    const auto whole = preamble() + rest + write(0, 49152) + write(49152, 1) + write(98304, 49152) + end();
    EXPECT_EQ(length(preamble() + rest + extent(0, 49153) + extent(98304, 49152) + end(), more) + more,
              whole.size());
    EXPECT_EQ(length(whole, more) + more, whole.size());
}

TEST_F(SendStreamTest, SumIsThatOfTheKernel) {
    EXPECT_EQ(stream_crc("123456789", ~0U), ~0xE3069283U);  // CRC-32C's check value, RFC 3720
    EXPECT_EQ(stream_crc("6789", stream_crc("12345")), stream_crc("123456789"));
}

TEST_F(SendStreamTest, CommandsComeWholeWhateverThePieces) {
    const std::string stream = preamble() + command(Kind::make_file, {{Attribute::path, "a/b"}}) +
                               command(Kind::make_file, {{Attribute::path, ""}}) + end();
    for (const std::size_t piece : {1U, 7U, 4096U}) {
        paths_.clear();
        EXPECT_TRUE(read(stream, piece));
        EXPECT_THAT(paths_, testing::ElementsAre("a/b", ""));
    }
}

TEST_F(SendStreamTest, MalformedOnesAreRefused) {
    const std::string whole = preamble() + command(Kind::make_file, {{Attribute::path, "a"}});
    EXPECT_THAT(error_of(whole), HasSubstr("cut off"));
    EXPECT_THAT(error_of(""), HasSubstr("cut off"));
    EXPECT_THAT(error_of(whole + end() + "x"), HasSubstr("goes on"));
    EXPECT_THAT(error_of(whole + end() + end()), HasSubstr("goes on"));
    EXPECT_THAT(error_of("btrfs-strean" + whole.substr(12)), HasSubstr("does not begin"));
    EXPECT_THAT(error_of(preamble(2) + end()), HasSubstr("version 2"));
    std::string damaged = whole + end();
    damaged[preamble().size() + 14] ^= 1;
    EXPECT_THAT(error_of(damaged), HasSubstr("checksum"));
    EXPECT_THAT(error_of(preamble() + command(static_cast<Kind>(25), {})), HasSubstr("command 25"));
    EXPECT_THAT(error_of(preamble() + command(Kind::chmod, {})), HasSubstr("lacks"));
    EXPECT_THAT(error_of(preamble() + command(Kind::chmod, {{Attribute::path, "a"}, {Attribute::path, "b"}})),
                HasSubstr("twice"));
    EXPECT_THAT(error_of(preamble() + command(Kind::chmod, {{static_cast<Attribute>(25), ""}})),
                HasSubstr("unknown"));
    EXPECT_THAT(error_of(preamble() + std::string("\xff\xff\xff\x7f", 4) + std::string(6, '\0')),
                HasSubstr("too long"));
}

TEST_F(SendStreamTest, PathsThatLeadOutAreRefused) {
    for (const std::string path : {"..", "/etc", "a/../b", "a//b", "a/", "./a"})
        EXPECT_THAT(error_of(preamble() + command(Kind::make_file, {{Attribute::path, path}}) + end()),
                    HasSubstr("path"))
            << path;
    const std::string nul("a\0b", 3);
    EXPECT_THAT(error_of(preamble() + command(Kind::make_file, {{Attribute::path, nul}})), HasSubstr("path"));
}

/// What a stream does to a directory beside others.
class StreamApplierTest : public testing::Test {
protected:
    void SetUp() override {
        std::string text = (fs::temp_directory_path() / "lxmgr-stream-XXXXXX").string();
        ASSERT_NE(::mkdtemp(text.data()), nullptr);
        base_ = text;
        fs::create_directories(base_ / "root");
        fs::create_directories(base_ / "outside");
        std::ofstream(base_ / "outside/file") << "kept";
        root_ = UniqueFd(::open((base_ / "root").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
    void TearDown() override {
        std::ifstream in(base_ / "outside/file");
        std::string text;
        in >> text;
        EXPECT_EQ(text, "kept");
        EXPECT_EQ(std::distance(fs::directory_iterator(base_ / "outside"), {}), 1);
        fs::remove_all(base_);
    }
    Result<> apply(const std::vector<std::string>& commands) {
        StreamApplier applier(root_.get(),
                              [this](const Uuid& uuid) { return uuid == Uuid{} ? root_.get() : -1; });
        SendStream stream([&applier](const StreamCommand& one) { return applier.apply(one); });
        LX_TRY(stream.feed(preamble()));
        for (const auto& one : commands) LX_TRY(stream.feed(one));
        return applier.finish();
    }
    void refuse(const std::vector<std::string>& commands) {
        const auto result = apply(commands);
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().status, Status::bad_request) << result.error().message;
    }
    static std::string on(Kind kind, const std::string& path, Attributes more = {}) {
        more.insert(more.begin(), {Attribute::path, path});
        return command(kind, more);
    }
    static std::string owner(const std::string& path, std::uint64_t uid) {
        return on(Kind::chown, path, {{Attribute::uid, number(uid)}, {Attribute::gid, number(uid)}});
    }
    static std::string mode(const std::string& path, std::uint64_t bits) {
        return on(Kind::chmod, path, {{Attribute::mode, number(bits)}});
    }
    static std::string data(const std::string& path, std::uint64_t offset, const std::string& bytes) {
        return on(Kind::write, path, {{Attribute::offset, number(offset)}, {Attribute::data, bytes}});
    }
    static std::string link(const std::string& path, const std::string& target) {
        return on(Kind::symlink, path, {{Attribute::path_link, target}});
    }
    fs::path base_;
    UniqueFd root_;
};

TEST_F(StreamApplierTest, TreeIsAsTheStreamSays) {
    const std::string time = little_bytes(std::int64_t{1'000'000'000}) + little_bytes(std::uint32_t{5});
    const auto applied = apply(
        {on(Kind::make_directory, "o1"), on(Kind::rename, "o1", {{Attribute::path_to, "etc"}}),
         on(Kind::make_file, "etc/a"), data("etc/a", 0, "hello"), data("etc/a", 8, "x"),
         on(Kind::truncate, "etc/a", {{Attribute::size, number(7)}}), owner("etc/a", 1000),
         mode("etc/a", 04755), on(Kind::link, "b", {{Attribute::path_link, "etc/a"}}),
         link("l", "/etc/shadow"),
         on(Kind::set_xattr, "etc/a", {{Attribute::xattr_name, "user.x"}, {Attribute::xattr_data, "1"}}),
         on(Kind::make_fifo, "f"), on(Kind::make_file, "gone"), on(Kind::unlink, "gone"),
         on(Kind::utimes, "etc/a",
            {{Attribute::accessed, time}, {Attribute::modified, time}, {Attribute::changed, time}}),
         owner("", 1000), mode("", 0777)});
    ASSERT_TRUE(applied) << applied.error().message;
    struct stat st{};
    ASSERT_EQ(::stat((base_ / "root/b").c_str(), &st), 0);
    EXPECT_EQ(st.st_size, 7);
    EXPECT_EQ(st.st_uid, 1000U);
    EXPECT_EQ(st.st_mode & 07777U, 04755U);
    EXPECT_EQ(st.st_nlink, 2U);
    EXPECT_EQ(st.st_mtim.tv_sec, 1'000'000'000);
    EXPECT_EQ(::getxattr((base_ / "root/b").c_str(), "user.x", nullptr, 0), 1);
    EXPECT_EQ(fs::read_symlink(base_ / "root/l"), "/etc/shadow");
    EXPECT_FALSE(fs::exists(base_ / "root/gone"));
    ASSERT_EQ(::stat((base_ / "root").c_str(), &st), 0);
    EXPECT_EQ(st.st_uid, 0U) << "the root is ours";
}

TEST_F(StreamApplierTest, WhatIsMadeAndMovedIsMadeInItsPlace) {
    const auto to = [](const std::string& path) { return Attributes{{Attribute::path_to, path}}; };
    const std::string time = little_bytes(std::int64_t{1'000'000'000}) + little_bytes(std::uint32_t{0});
    const Attributes times{
        {Attribute::accessed, time}, {Attribute::modified, time}, {Attribute::changed, time}};
    const auto applied =
        apply({on(Kind::make_directory, "o1"), on(Kind::rename, "o1", to("d")), on(Kind::make_file, "o2"),
               on(Kind::rename, "o2", to("d/a")), on(Kind::utimes, "d", times), data("d/a", 0, "old"),
               // Each has what is said of it, and no other that is open still.
               on(Kind::make_directory, "o3"), on(Kind::rename, "o3", to("d/e")), mode("d/e", 0711),
               owner("d/e", 1000), on(Kind::utimes, "d", times),
               // In the way of another: that is replaced, as a rename does.
               on(Kind::make_file, "o4"), on(Kind::rename, "o4", to("d/a")), data("d/a", 0, "newer"),
               mode("d/a", 0), data("d/a", 5, "!"), owner("d/a", 7), on(Kind::utimes, "d/a", times),
               // Two of which the first waits.
               on(Kind::make_file, "o5"), on(Kind::make_fifo, "o6"), on(Kind::rename, "o5", to("d/e/f"))});
    ASSERT_TRUE(applied) << applied.error().message;
    struct stat file{}, directory{}, above{};
    ASSERT_EQ(::stat((base_ / "root/d/a").c_str(), &file), 0);
    EXPECT_EQ(file.st_size, 6);
    EXPECT_EQ(file.st_mode & 07777U, 0U);
    EXPECT_EQ(file.st_uid, 7U);
    EXPECT_EQ(file.st_mtim.tv_sec, 1'000'000'000);
    ASSERT_EQ(::stat((base_ / "root/d/e").c_str(), &directory), 0);
    EXPECT_EQ(directory.st_mode & 07777U, 0711U);
    EXPECT_EQ(directory.st_uid, 1000U);
    ASSERT_EQ(::stat((base_ / "root/d").c_str(), &above), 0);
    EXPECT_EQ(above.st_uid, 0U);
    EXPECT_TRUE(fs::is_regular_file(base_ / "root/d/e/f"));
    EXPECT_TRUE(fs::is_fifo(base_ / "root/o6"));
    EXPECT_EQ(std::distance(fs::directory_iterator(base_ / "root"), {}), 2);
}

TEST_F(StreamApplierTest, SymlinksLeadNowhere) {
    const std::string out = link("out", "../outside"), file = link("file", "../outside/file");
    refuse({out, on(Kind::make_file, "out/new")});
    refuse({out, on(Kind::unlink, "out/file")});
    refuse({on(Kind::make_file, "a"), on(Kind::rename, "a", {{Attribute::path_to, "out/a"}})});
    refuse({on(Kind::link, "stolen", {{Attribute::path_link, "out/file"}})});
    refuse({file, data("file", 0, "changed")});
    refuse({mode("file", 0777)});
    refuse({on(Kind::truncate, "file", {{Attribute::size, number(0)}})});
    refuse({on(Kind::set_xattr, "file", {{Attribute::xattr_name, "user.x"}, {Attribute::xattr_data, "1"}})});
    refuse({on(Kind::clone, "a",
               {{Attribute::clone_path, "out/file"},
                {Attribute::clone_uuid, std::string(16, '\0')},
                {Attribute::clone_offset, number(0)},
                {Attribute::clone_size, number(4)},
                {Attribute::offset, number(0)}})});
    ASSERT_TRUE(apply({owner("file", 1000)}));  // the link's own
    struct stat st{};
    ASSERT_EQ(::stat((base_ / "outside/file").c_str(), &st), 0);
    EXPECT_EQ(st.st_uid, 0U);
}

TEST_F(StreamApplierTest, WhatIsNotOfTheBackupIsOutOfReach) {
    refuse({on(Kind::make_file, "a"), on(Kind::clone, "a",
                                         {{Attribute::clone_path, "a"},
                                          {Attribute::clone_uuid, std::string(16, '\1')},
                                          {Attribute::clone_offset, number(0)},
                                          {Attribute::clone_size, number(4)},
                                          {Attribute::offset, number(0)}})});
    refuse({on(Kind::make_node, "sda",
               {{Attribute::mode, number(S_IFBLK | 0666)}, {Attribute::device, number(0x800)}})});
    refuse({on(Kind::make_node, "mem",
               {{Attribute::mode, number(S_IFCHR | 0666)}, {Attribute::device, number(0x101)}})});
    EXPECT_TRUE(apply({on(Kind::make_node, "null",
                          {{Attribute::mode, number(S_IFCHR | 0666)}, {Attribute::device, number(0x103)}})}));
}

TEST_F(StreamApplierTest, WhiteoutsAreKept) {
    const auto applied = apply(
        {on(Kind::make_node, "gone", {{Attribute::mode, number(S_IFCHR)}, {Attribute::device, number(0)}})});
    ASSERT_TRUE(applied) << applied.error().message;
    struct stat st{};
    ASSERT_EQ(::stat((base_ / "root/gone").c_str(), &st), 0);
    EXPECT_TRUE(S_ISCHR(st.st_mode));
    EXPECT_EQ(st.st_rdev, 0U);
    refuse(
        {on(Kind::make_node, "block", {{Attribute::mode, number(S_IFBLK)}, {Attribute::device, number(0)}})});
}

TEST_F(StreamApplierTest, NonsenseIsAnErrorAndNothingElse) {
    refuse({on(Kind::unlink, "absent")});
    refuse({on(Kind::remove_directory, "")});
    refuse({on(Kind::make_file, "")});
    refuse({on(Kind::make_fifo, "fifo"), data("fifo", 0, "x")});  // and does not wait for a reader
    refuse({on(Kind::make_file, "a"), data("a", ~0ULL, "x")});
    refuse({owner("a", 0xFFFFFFFF)});
    refuse({link("l", "")});
    refuse({on(Kind::update_extent, "a")});
    refuse({on(Kind::subvolume, "a")});
    EXPECT_TRUE(apply(
        {on(Kind::set_xattr, "a", {{Attribute::xattr_name, "trusted.x"}, {Attribute::xattr_data, "1"}})}));
    EXPECT_LT(::getxattr((base_ / "root/a").c_str(), "trusted.x", nullptr, 0), 0);
}

}  // namespace
}  // namespace lxmgr::storage
