#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "lxd-daemon/rest/route.h"

namespace lxmgr::rest {
namespace {

using nlohmann::json;

json objects() {
    return json::array({{{"name", "web1"},
                         {"status", "Running"},
                         {"ephemeral", false},
                         {"pid", 7},
                         {"config", {{"user.a", "x"}, {"limits.cpu", "2"}}},
                         {"profiles", {"default", "big"}}},
                        {{"name", "web2"},
                         {"status", "Stopped"},
                         {"ephemeral", true},
                         {"pid", 0},
                         {"config", json::object()}},
                        {{"name", "db"},
                         {"status", "Running"},
                         {"ephemeral", false},
                         {"expanded_devices", {{"root", {{"pool", "p"}}}}}}});
}

std::string names(const std::string& filter) {
    const auto kept = apply_filter(filter, objects());
    if (!kept) return "error " + std::to_string(static_cast<int>(kept.error().status));
    std::string out;
    for (const auto& object : *kept) out += object["name"].get<std::string>() + " ";
    return out;
}

TEST(FilterTest, EmptyKeepsAll) {
    EXPECT_EQ(names(""), "web1 web2 db ");
    EXPECT_EQ(names("  "), "web1 web2 db ");
}

TEST(FilterTest, ComparesTextWithoutCase) {
    EXPECT_EQ(names("status eq running"), "web1 db ");
    EXPECT_EQ(names("status ne Running"), "web2 ");
    EXPECT_EQ(names("not status eq Running"), "web2 ");
    EXPECT_EQ(names("not status ne Running"), "web1 db ");
}

TEST(FilterTest, ValueIsARegularExpressionForTheWhole) {
    EXPECT_EQ(names("name eq web.*"), "web1 web2 ");
    EXPECT_EQ(names("name eq web"), "");
    EXPECT_EQ(names("name eq ^(web1|db)$"), "web1 db ");
}

TEST(FilterTest, ClausesAreWorkedOutFromLeftToRight) {
    EXPECT_EQ(names("status eq Running and name eq db"), "db ");
    EXPECT_EQ(names("name eq web2 or name eq db"), "web2 db ");
    EXPECT_EQ(names("name eq web1 or name eq db and status eq Stopped"), "");
}

TEST(FilterTest, GoesIntoObjectsWithDots) {
    EXPECT_EQ(names("config.user.a eq x"), "web1 ");
    EXPECT_EQ(names("config.limits.cpu eq 2"), "web1 ");
    EXPECT_EQ(names("expanded_devices.root.pool eq p"), "db ");
    EXPECT_EQ(names("config.nothing eq x"), "");
    EXPECT_EQ(names("profiles eq big"), "web1 ");
}

TEST(FilterTest, ComparesNumbersAndBooleans) {
    EXPECT_EQ(names("ephemeral eq true"), "web2 ");
    EXPECT_EQ(names("pid eq 7"), "web1 ");
}

TEST(FilterTest, QuotedValuesMayHoldBlanksAndWords) {
    EXPECT_EQ(names("name eq \"web1\""), "web1 ");
    EXPECT_EQ(names("name eq \"and\" or name eq \"db\""), "db ");
    EXPECT_EQ(names("name eq \"a \\\" b\""), "");
}

TEST(FilterTest, NonsenseIsABadRequest) {
    for (const char* text :
         {"name", "name eq", "name is web1", "name eq web1 xor name eq db", "name eq web1 and", "and",
          "name eq (", "name eq \"open", "not", "or name eq x", "name eq a name eq b"}) {
        EXPECT_EQ(names(text), "error 400") << text;
    }
    EXPECT_EQ(names(std::string(5000, 'a')), "error 400");
}

TEST(FilterTest, HostileExpressionsCostLittle) {
    EXPECT_EQ(names("name eq (a*)*b"), "");
    EXPECT_EQ(names("name eq (((((x{1,100}){1,100}){1,100}){1,100}){1,100})"), "error 400");
}

TEST(FilterTest, SurvivesRandomText) {
    std::mt19937 random(7);
    const std::string words[] = {"name",          "eq", "ne", "not", "and", "or", "\"", "web.*", "(",
                                 "config.user.a", "\\", " ",  "\xff"};
    for (int round = 0; round < 3000; ++round) {
        std::string text;
        for (auto i = random() % 10; i > 0; --i)
            text += words[random() % std::size(words)] + (random() % 3 == 0 ? "" : " ");
        const auto kept = apply_filter(text, objects());
        EXPECT_TRUE(kept || kept.error().status == Status::bad_request);
    }
}

}  // namespace
}  // namespace lxmgr::rest
