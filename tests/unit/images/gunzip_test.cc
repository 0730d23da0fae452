#include "images/gunzip.h"

#include <gmock/gmock.h>
#include <zlib.h>

#include "tests/unit/images/text_bytes.h"

namespace lxmgr::images {
namespace {

using testing::HasSubstr;

/// One member, as zlib makes it.
std::string gzipped(std::string_view text, int level = 6) {
    z_stream z{};
    constexpr int kGzip = 16;
    if (::deflateInit2(&z, level, Z_DEFLATED, kGzip + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) return "";
    std::string out(::deflateBound(&z, text.size()), '\0');
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    z.avail_in = static_cast<uInt>(text.size());
    z.next_out = reinterpret_cast<Bytef*>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    ::deflate(&z, Z_FINISH);
    out.resize(z.total_out);
    ::deflateEnd(&z);
    return out;
}

/// Some that packs well, some that does not: more than fits the buffer.
std::string much() {
    std::string out(900'000, 'a');
    unsigned state = 1;
    for (int i = 0; i < 700'000; ++i) {
        state = state * 1664525u + 1013904223u;
        out += static_cast<char>(state >> 24);
    }
    return out;
}

class GunzipTest : public testing::TestWithParam<std::size_t> {
protected:
    /// In steps of the parameter's bytes, of which the first has been read already.
    Result<std::string> unpack(const std::string& packed) {
        TextBytes source(packed, GetParam());
        const auto first = source.next({});
        auto gzip = Gunzip::open(source, *first);
        if (!gzip) return fail(Status::internal, "no gzip");
        std::string out;
        for (;;) {
            LX_TRY_AS(const std::string_view more, gzip->next({}));
            if (more.empty()) break;
            out += more;
        }
        packed_bytes_ = gzip->packed_bytes();
        return out;
    }
    std::uint64_t packed_bytes_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Steps, GunzipTest, testing::Values(2, 7, 1000, 1 << 18, 1 << 24));

TEST_P(GunzipTest, UnpacksAMember) {
    for (const std::string& text : {std::string(), std::string("x"), much()}) {
        const std::string packed = gzipped(text);
        const auto unpacked = unpack(packed);
        ASSERT_TRUE(unpacked) << unpacked.error().message;
        EXPECT_TRUE(*unpacked == text);
        EXPECT_EQ(packed_bytes_, packed.size());
    }
}

TEST_P(GunzipTest, UnpacksWhatWasOnlyStored) {
    const auto unpacked = unpack(gzipped(much(), 0));
    ASSERT_TRUE(unpacked) << unpacked.error().message;
    EXPECT_TRUE(*unpacked == much());
}

TEST_P(GunzipTest, UnpacksMemberAfterMember) {
    const auto unpacked = unpack(gzipped("one ") + gzipped("") + gzipped(much()) + gzipped(" three"));
    ASSERT_TRUE(unpacked) << unpacked.error().message;
    EXPECT_TRUE(*unpacked == "one " + much() + " three");
}

TEST_P(GunzipTest, TakesWhatFollowsForPadding) {
    const auto unpacked = unpack(gzipped("all") + std::string(5000, '\0'));
    ASSERT_TRUE(unpacked) << unpacked.error().message;
    EXPECT_EQ(*unpacked, "all");
}

TEST_P(GunzipTest, RefusesWhatEndsTooEarly) {
    const std::string packed = gzipped(much());
    for (const std::size_t cut : {packed.size() - 1, packed.size() - 8, packed.size() / 2, std::size_t{12}}) {
        const auto unpacked = unpack(packed.substr(0, cut));
        ASSERT_FALSE(unpacked) << cut;
        EXPECT_EQ(unpacked.error().status, Status::bad_request);
        EXPECT_THAT(unpacked.error().message, HasSubstr("ends too early"));
    }
}

TEST_P(GunzipTest, RefusesAnotherChecksum) {
    std::string packed = gzipped("something that was changed on its way");
    packed[packed.size() - 6] ^= 1;
    const auto unpacked = unpack(packed);
    ASSERT_FALSE(unpacked);
    EXPECT_EQ(unpacked.error().status, Status::bad_request);
    EXPECT_THAT(unpacked.error().message, HasSubstr("checksum"));
}

TEST_P(GunzipTest, RefusesWhatIsNoDeflate) {
    std::string packed = gzipped(much());
    packed.replace(10, 200, std::string(200, '\xff'));
    const auto unpacked = unpack(packed);
    ASSERT_FALSE(unpacked);
    EXPECT_THAT(unpacked.error().message, HasSubstr("broken"));
}

TEST_P(GunzipTest, GivesOnWhatBreaksTheSource) {
    const std::string packed = gzipped(much());
    TextBytes source(packed.substr(0, packed.size() / 2), GetParam(), "the line was cut");
    const auto first = source.next({});
    auto gzip = Gunzip::open(source, *first);
    ASSERT_NE(gzip, nullptr);
    for (;;) {
        const auto more = gzip->next({});
        if (more) continue;
        EXPECT_THAT(more.error().message, HasSubstr("the line was cut"));
        return;
    }
}

TEST(GunzipOpen, LeavesAloneWhatIsNoGzip) {
    TextBytes source("PK", 10);
    EXPECT_EQ(Gunzip::open(source, "PK"), nullptr);
    EXPECT_EQ(Gunzip::open(source, "\x1f"), nullptr);
    EXPECT_EQ(Gunzip::open(source, ""), nullptr);
}

TEST(GunzipOpen, EndsWhenStopped) {
    TextBytes source(gzipped(much()), 1000);
    const auto first = source.next({});
    auto gzip = Gunzip::open(source, *first);
    ASSERT_NE(gzip, nullptr);
    std::stop_source stop;
    stop.request_stop();
    Result<std::string_view> more = std::string_view("x");
    while (more && !more->empty()) more = gzip->next(stop.get_token());
    ASSERT_FALSE(more);
    EXPECT_EQ(more.error().status, Status::unavailable);
}

}  // namespace
}  // namespace lxmgr::images
