#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/json_reader.h"
#include "lxd-daemon/api/json_writer.h"

using namespace lxmgr;
using namespace lxmgr::api;
using nlohmann::json;

namespace {

std::string as_json(std::string_view text) {
    std::string out;
    append_string(out, text);
    return out;
}

template <typename T>
std::string complaint(const Result<T>& result) {
    return result ? std::string() : result.error().message;
}

}  // namespace

TEST(ParseJsonTest, RefusesHostileTexts) {
    EXPECT_TRUE(parse_json("{\"a\":[1,\"[[[[\\\"[\"]}"));
    for (const std::string& text :
         {std::string(""), std::string("{"), std::string("{\"a\":1}x"), std::string("nul"),
          std::string("\"\xff\""), std::string("{\"a\":\"\x01\"}"), std::string("[1,]"),
          std::string(100000, '['), std::string(100000, '"'), std::string("\"\\ud800\""),
          std::string("{'a':1}")}) {
        const auto parsed = parse_json(text);
        ASSERT_FALSE(parsed) << text.substr(0, 20);
        EXPECT_EQ(parsed.error().status, Status::bad_request);
    }
    std::string deep;
    for (int i = 0; i < 65; ++i) deep += "{\"a\":";
    EXPECT_EQ(complaint(parse_json(deep)), "The JSON text is nested too deeply");
    EXPECT_TRUE(parse_json(std::string(64, '[') + std::string(64, ']')));
}

TEST(ReaderTest, LeavesAbsentAndNullAloneAndIgnoresUnknown) {
    const auto body = json::parse(R"({"text":null,"other":{"x":[1]},"flag":true})");
    std::string text = "kept";
    bool flag = false;
    std::optional<std::string> maybe;
    Reader reader(body);
    EXPECT_TRUE(reader.text("text", text).text("absent", text).flag("flag", flag).text("text", maybe).done());
    EXPECT_EQ(text, "kept");
    EXPECT_TRUE(flag);
    EXPECT_FALSE(maybe);
}

TEST(ReaderTest, NamesTheKeyOfAWrongType) {
    const auto body =
        json::parse(R"({"t":1,"f":"x","n":1.5,"l":[1],"m":{"limits.cpu":2},"d":{"eth0":{"mtu":1}},
                                      "o":[],"big":18446744073709551615,"when":"yesterday"})");
    std::string text;
    bool flag = false;
    std::int64_t number = 0;
    std::vector<std::string> list;
    ConfigMap map;
    DeviceMap devices;
    Time time{};
    EXPECT_EQ(complaint(Reader(body).text("t", text).done()), "The value of 't' must be a string");
    EXPECT_EQ(complaint(Reader(body, "source.").flag("f", flag).done()),
              "The value of 'source.f' must be true or false");
    EXPECT_EQ(complaint(Reader(body).number("n", number, 0, 9).done()),
              "The value of 'n' must be an integer");
    EXPECT_EQ(complaint(Reader(body).number("big", number, 0, 9).done()),
              "The value of 'big' must be between 0 and 9");
    EXPECT_EQ(complaint(Reader(body).number("t", number, 5, 9).done()),
              "The value of 't' must be between 5 and 9");
    EXPECT_EQ(complaint(Reader(body).list("l", list).done()), "The value of 'l' must be an array of strings");
    EXPECT_EQ(complaint(Reader(body).map("m", map).done()), "The value of 'm.limits.cpu' must be a string");
    EXPECT_EQ(complaint(Reader(body).map("t", map).done()), "The value of 't' must be an object of strings");
    EXPECT_EQ(complaint(Reader(body).map("d", devices).done()), "The value of 'd.eth0.mtu' must be a string");
    EXPECT_EQ(complaint(Reader(body).map("t", devices).done()),
              "The value of 't' must be an object of devices");
    EXPECT_FALSE(Reader(body).time("when", time).done());
    Reader objects(body);
    EXPECT_EQ(objects.object("o"), nullptr);
    EXPECT_EQ(complaint(objects.done()), "The value of 'o' must be an object");
    EXPECT_EQ(complaint(Reader(body["l"]).text("t", text).done()), "The body must be a JSON object");
}

TEST(ReaderTest, TheFirstErrorStays) {
    const auto body = json::parse(R"({"a":1,"b":2})");
    std::string a = "untouched", b;
    EXPECT_EQ(complaint(Reader(body).text("a", a).text("b", b).done()), "The value of 'a' must be a string");
    EXPECT_EQ(a, "untouched");
}

TEST(JsonWriterTest, EscapesWhatJsonNeeds) {
    EXPECT_EQ(as_json("plain"), "\"plain\"");
    EXPECT_EQ(as_json("a\"b\\c\n\t\r"), "\"a\\\"b\\\\c\\n\\t\\r\"");
    EXPECT_EQ(as_json(std::string_view("\0\x1f", 2)), "\"\\u0000\\u001f\"");
    EXPECT_EQ(as_json("käse €🙂"), "\"käse €🙂\"");
    for (const std::string bad :
         {"\xff", "a\xc3", "\xe2\x82", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80"}) {
        EXPECT_TRUE(json::accept(as_json(bad))) << as_json(bad);
    }
}

TEST(JsonWriterTest, EveryByteStringBecomesJsonThatReadsBack) {
    std::string all;
    for (int c = 0; c < 128; ++c) all += static_cast<char>(c);
    all += "äöü漢字";
    EXPECT_EQ(json::parse(as_json(all)).get<std::string>(), all);
}

TEST(JsonWriterTest, WritesMaps) {
    std::string out;
    append_map(out, DeviceMap{{"a", {{"x", "1"}, {"y", "2"}}}, {"b", {}}});
    EXPECT_EQ(out, R"({"a":{"x":"1","y":"2"},"b":{}})");
}
