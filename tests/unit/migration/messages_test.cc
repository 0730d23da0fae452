#include "lxd-daemon/migration/messages.h"

#include <gmock/gmock.h>

#include "lxd-daemon/migration/protobuf.h"

namespace lxmgr::migration {
namespace {

using namespace std::string_literals;
using std::chrono::seconds;

TEST(ProtobufTest, ReadsWhatItWrites) {
    const std::string text = ProtoWriter()
                                 .number(1, std::uint64_t{300})
                                 .bytes(2, "abc")
                                 .number(16, std::int64_t{-1})
                                 .flag(3, false)
                                 .take();
    EXPECT_EQ(text,
              "\x08\xac\x02\x12\x03"s + "abc"s + "\x80\x01"s + std::string(9, '\xff') + "\x01\x18\x00"s);
    ProtoReader reader(text);
    EXPECT_EQ((*reader.next())->value, 300U);
    EXPECT_EQ((*reader.next())->bytes, "abc");
    EXPECT_EQ((*reader.next())->value, ~std::uint64_t{0});
    EXPECT_EQ((*reader.next())->number, 3U);
    EXPECT_FALSE((*reader.next()).has_value());
}

TEST(ProtobufTest, RefusesWhatIsCutOff) {
    for (const std::string& text : {"\x08"s, "\x08\xff"s, "\x12\x05hi"s, "\x00\x00"s, "\x0b"s, "\x09\x01"s,
                                    "\x08"s + std::string(10, '\xff') + "\x01"s}) {
        ProtoReader reader(text);
        EXPECT_FALSE(reader.next().has_value()) << testing::PrintToString(text);
    }
}

TEST(MessagesTest, ReadsTheOfferOfLxd) {
    // Read off the wire between two LXD 5.0.2: the instance had run, so that its disk is shifted.
    const std::string offer =
        "\x08\x00"s + "\x1a\x0f\x08\x01\x10\x00\x18\xa0\x8d\x06\x20\x00\x28\x81\xad\xe2\x04"s +
        "\x22\x02s1"s + "\x2a\x48\x0a\x02s1\x12\x11\x0a\x09user.note\x12\x04kept"s + "\x1a\x07"s +
        "default\x20\x00\x30\x02\x38\x00\x40\xac\xa5\x8a\xd8\x06\x48\x80\x92\xb8\xc3\x98\xfe\xff\xff\xff\x01"s +
        "\x50\xa5\xaa\xf5\x86\x07"s + "\x38\x00\x42\x08\x08\x01\x10\x01\x18\x01\x20\x01\x68\x01"s;
    std::string text = offer;
    text[text.find("\x2a\x48") + 1] =
        static_cast<char>(text.find("\x38\x00\x42\x08"s) - text.find("\x2a\x48") - 2);
    const auto header = parse_header(text);
    ASSERT_TRUE(header.has_value()) << header.error().message;
    EXPECT_EQ(header->by, kByRsync);
    EXPECT_FALSE(header->live);
    ASSERT_EQ(header->idmap.size(), 1U);
    EXPECT_EQ(header->idmap[0], (IdEntry{true, false, 100000, 0, 10000001}));
    ASSERT_EQ(header->snapshots.size(), 1U);
    const auto& snapshot = header->snapshots[0];
    EXPECT_EQ(snapshot.config, (api::ConfigMap{{"user.note", "kept"}}));
    EXPECT_EQ(snapshot.architecture, "x86_64");
    EXPECT_EQ(snapshot.created_at, Time{seconds{1795330732}});
    EXPECT_EQ(snapshot.last_used_at, Time{});
    EXPECT_EQ(snapshot.expires_at, Time{seconds{1893553445}});
    EXPECT_EQ(header->rsync, (RsyncFeatures{true, true, true, true, false}));
}

TEST(MessagesTest, HeadersComeBackAsTheyWere) {
    Header header;
    header.idmap = {{true, false, 1'000'000, 0, 65536}, {false, true, 1'000'000, 0, 65536}};
    header.snapshot_names = {"a", "b"};
    header.snapshots = {{.name = "a",
                         .architecture = "aarch64",
                         .config = {{"user.a", "1"}},
                         .devices = {{"root", {{"path", "/"}, {"type", "disk"}}}, {"gone", {}}},
                         .profiles = {"default", "more"},
                         .ephemeral = true,
                         .stateful = true,
                         .created_at = Time{seconds{12345}},
                         .expires_at = Time{seconds{99999}}},
                        {.name = "b"}};
    header.rsync = RsyncFeatures{.xattrs = true, .bidirectional = true, .faithful = true};
    header.refresh = true;
    header.base = std::string(64, 'a');
    header.whole = true;
    header.streams = "btrfs";
    header.stream_base = "a";
    header.snapshots[1].identity = "0123-abcdef";
    const auto read = parse_header(to_wire(header));
    ASSERT_TRUE(read.has_value()) << read.error().message;
    EXPECT_EQ(*read, header);
}

TEST(MessagesTest, VerdictsAreAsLxdWritesThem) {
    EXPECT_EQ(to_wire(Verdict{true, ""}), "\x08\x01\x12\x00"s);
    const auto verdict = parse_verdict(to_wire(Verdict{false, "no room"}));
    ASSERT_TRUE(verdict.has_value());
    EXPECT_FALSE(verdict->success);
    EXPECT_EQ(verdict->message, "no room");
}

TEST(MessagesTest, RefusesNamesThatAreNoText) {
    EXPECT_FALSE(parse_header("\x22\x02\xff\xfe"s).has_value());
    EXPECT_FALSE(parse_header("\x22\x05"s).has_value());
}

TEST(MessagesTest, RefusesIdentitiesThatAreNone) {
    for (const std::string& identity : {"../x"s, "a b"s, std::string(65, 'a')}) {
        Header header;
        header.snapshots = {{.name = "a", .identity = identity}};
        EXPECT_FALSE(parse_header(to_wire(header)).has_value()) << identity;
    }
}

std::string many(const std::string& field, std::size_t count) {
    std::string out;
    for (std::size_t i = 0; i < count; ++i) out += field;
    return out;
}

TEST(MessagesTest, RefusesMessagesThatTakeMoreMemoryThanTheyAreWorth) {
    EXPECT_TRUE(parse_header(many("\x2a\x00"s, kMaxSnapshots)).has_value());
    EXPECT_FALSE(parse_header(many("\x2a\x00"s, kMaxSnapshots + 1)).has_value());
    EXPECT_FALSE(parse_header(many("\x22\x00"s, kMaxFields + 1)).has_value());
    // Fields of messages inside count, too.
    const std::string snapshot = ProtoWriter().bytes(5, many("\x1a\x00"s, kMaxFields)).take();
    EXPECT_FALSE(parse_header(snapshot).has_value());
}

TEST(MessagesTest, ShowsWhatOthersSayAsOneLine) {
    EXPECT_EQ(shown_text("no\x1b[2J\nroom\x7f"), "no?[2J?room?");
    EXPECT_EQ(shown_text("gr\xc3\xb6\xc3\x9f"
                         "er"),
              "gr\xc3\xb6\xc3\x9f"
              "er");
    EXPECT_EQ(shown_text("a\xff\xfe"), "a??");
    EXPECT_EQ(shown_text(std::string(5000, 'x')).size(), 1000U);
    EXPECT_EQ(shown_text(std::string(999, 'x') + "\xc3\xb6"), std::string(999, 'x'));
    EXPECT_EQ(parse_verdict(ProtoWriter().bytes(2, "a\tb").take())->message, "a?b");
}

}  // namespace
}  // namespace lxmgr::migration
