#include "lxmgr/top_frame.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "lxmgr/text_width.h"

namespace lxmgr::cli {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

const std::chrono::steady_clock::time_point kBegin{};

/// As GET /1.0/instances?recursion=2 has it.
Json shown(const std::string& name, std::int64_t cpu, std::int64_t memory, std::int64_t processes,
           std::int64_t received = 0, std::int64_t sent = 0) {
    const Json eth0{{"counters", {{"bytes_received", received}, {"bytes_sent", sent}}}};
    const Json lo{{"counters", {{"bytes_received", 1'000'000}, {"bytes_sent", 1'000'000}}}};
    return {{"name", name},
            {"project", "default"},
            {"status", "Running"},
            {"state",
             {{"cpu", {{"usage", cpu}}},
              {"memory", {{"usage", memory}}},
              {"processes", processes},
              {"network", {{"eth0", eth0}, {"lo", lo}}}}}};
}

Json stopped(const std::string& name) {
    return {
        {"name", name},
        {"project", "default"},
        {"status", "Stopped"},
        {"state",
         {{"cpu", {{"usage", -1}}}, {"memory", {{"usage", 0}}}, {"processes", -1}, {"network", nullptr}}}};
}

std::vector<std::string> frame(const Json& before, const Json& now, const TopView& view = {},
                               WindowSize size = {}) {
    return top_frame(top_sample(before, kBegin), top_sample(now, kBegin + 2s), view, size);
}

/// First words of the rows, in order.
std::vector<std::string> names(const std::vector<std::string>& lines) {
    std::vector<std::string> out;
    for (std::size_t i = 3; i < lines.size(); ++i) out.push_back(lines[i].substr(0, lines[i].find(' ')));
    return out;
}

const Json kBefore = Json::array({shown("a", 0, 10, 1), shown("b", 0, 30, 9), shown("c", 0, 20, 5)});
const Json kNow =
    Json::array({shown("a", 3'000'000'000, 10, 1, 0, 100), shown("b", 1'000'000'000, 30, 9, 50, 0),
                 shown("c", 2'000'000'000, 20, 5, 4096, 4096)});

TEST(TopSampleTest, CountsAllInterfacesButTheLoopback) {
    auto one = shown("a", 7, 8, 9, 10, 11);
    one["state"]["network"]["eth1"] = {{"counters", {{"bytes_received", 1}, {"bytes_sent", 2}}}};
    const auto sample = top_sample(Json::array({one}), kBegin);
    ASSERT_EQ(sample.instances.size(), 1U);
    const auto& counters = sample.instances.at("default/a");
    EXPECT_EQ(counters.cpu_ns, 7U);
    EXPECT_EQ(counters.memory_bytes, 8U);
    EXPECT_EQ(counters.processes, 9U);
    EXPECT_EQ(counters.received_bytes, 11U);
    EXPECT_EQ(counters.sent_bytes, 13U);
}

TEST(TopSampleTest, TakesNothingForWhatAServerMaySayInstead) {
    for (const Json& state :
         {Json(nullptr), Json(7), Json("x"), Json::array({1, 2}), Json::object(),
          Json{{"cpu", nullptr}, {"memory", 5}, {"processes", "many"}, {"network", Json::array({1})}},
          Json{{"cpu", {{"usage", -1}}}, {"processes", -1}, {"network", {{"eth0", nullptr}}}},
          Json{{"cpu", {{"usage", 1.5}}}, {"network", {{"eth0", {{"counters", 3}}}}}}}) {
        const auto sample =
            top_sample(Json::array({{{"name", "a"}, {"project", "p"}, {"state", state}}}), kBegin);
        const auto& counters = sample.instances.at("p/a");
        EXPECT_EQ(counters.cpu_ns + counters.memory_bytes + counters.processes + counters.received_bytes, 0U)
            << state;
    }
    EXPECT_TRUE(top_sample(Json(nullptr), kBegin).instances.empty());
    EXPECT_TRUE(top_sample(Json::array(), kBegin).instances.empty());
}

TEST(TopSampleTest, OneNameInTwoProjectsIsTwoInstances) {
    auto other = shown("a", 1, 1, 1);
    other["project"] = "web";
    EXPECT_EQ(top_sample(Json::array({shown("a", 2, 2, 2), other}), kBegin).instances.size(), 2U);
}

TEST(TopFrameTest, ShowsRatesOverTheTimeBetween) {
    EXPECT_THAT(frame(Json::array({shown("a", 1'000'000'000, 1, 3, 1000, 0), stopped("old")}),
                      Json::array({shown("a", 2'500'000'000, 1 << 20, 3, 3048, 4096), stopped("old")})),
                ElementsAre("2 instances, 1 running; CPU 75.0 %, memory 1.00MiB; by cpu", "",
                            "NAME  STATE    CPU%   MEMORY  PROCESSES   RECEIVED       SENT",
                            "a     Running  75.0  1.00MiB          3  1.00KiB/s  2.00KiB/s",
                            "old   Stopped     -        -          -          -          -"));
}

TEST(TopFrameTest, ACounterThatWentBackOrIsNewHasNoRate) {
    const auto restarted = frame(Json::array({shown("a", 9'000'000'000, 1, 3, 999, 999)}),
                                 Json::array({shown("a", 5, 1, 3, 5, 5)}));
    EXPECT_THAT(restarted[3], HasSubstr("Running   0.0"));
    EXPECT_THAT(restarted[3], HasSubstr("0B/s  0B/s"));
    const auto launched = frame(Json::array(), Json::array({shown("a", 9'000'000'000, 1, 3, 999, 999)}));
    EXPECT_THAT(launched[3], HasSubstr("Running   0.0"));
    const auto same = top_sample(Json::array({shown("a", 9, 1, 3)}), kBegin);
    EXPECT_THAT(top_frame(same, same, {}, {})[3], HasSubstr("Running   0.0"));  // no time between them
}

TEST(TopFrameTest, SortsByWhatIsAskedFor) {
    TopView view;
    EXPECT_THAT(names(frame(kBefore, kNow, view)), ElementsAre("a", "c", "b"));
    ASSERT_TRUE(change_view(view, 'm'));
    EXPECT_THAT(names(frame(kBefore, kNow, view)), ElementsAre("b", "c", "a"));
    ASSERT_TRUE(change_view(view, 'p'));
    EXPECT_THAT(names(frame(kBefore, kNow, view)), ElementsAre("b", "c", "a"));
    ASSERT_TRUE(change_view(view, 'n'));
    EXPECT_THAT(names(frame(kBefore, kNow, view)), ElementsAre("c", "a", "b"));
    ASSERT_TRUE(change_view(view, 'a'));
    EXPECT_THAT(names(frame(kBefore, kNow, view)), ElementsAre("a", "b", "c"));
    ASSERT_TRUE(change_view(view, 'r'));
    EXPECT_THAT(names(frame(kBefore, kNow, view)), ElementsAre("c", "b", "a"));
    EXPECT_THAT(frame(kBefore, kNow, view)[0], HasSubstr("by name, reversed"));
    EXPECT_FALSE(change_view(view, 'x'));
    EXPECT_FALSE(change_view(view, '\x1b'));
    EXPECT_FALSE(change_view(view, '\0'));
}

TEST(TopFrameTest, FitsTheTerminal) {
    const TopView view{.sort = TopSort::name};
    const auto lines = frame(kBefore, kNow, view, {.width = 20, .height = 4});
    ASSERT_EQ(lines.size(), 4U);
    for (const auto& line : lines) EXPECT_LE(display_width(line), 20U) << line;
    EXPECT_EQ(lines[3].substr(0, 1), "a");
    EXPECT_EQ(frame(kBefore, kNow, view, {.width = 1, .height = 1}), (std::vector<std::string>{"…"}));
}

TEST(TopFrameTest, AlignsWideNamesAndDisarmsWhatWouldSteerTheTerminal) {
    const TopView view{.sort = TopSort::name, .with_project = true};
    auto wide = shown("日本", 0, 1, 1), evil = shown("\x1b[2J", 0, 1, 1);
    evil["status"] = "\x1b]0;title\x07";
    const auto lines = frame(Json::array(), Json::array({wide, evil}), view);
    for (const auto& line : lines) EXPECT_EQ(line.find('\x1b'), std::string::npos) << line;
    EXPECT_THAT(lines[2], testing::StartsWith("NAME  PROJECT  STATE"));
    EXPECT_THAT(lines[4], testing::StartsWith("日本  default  Running"));
    EXPECT_EQ(display_width(lines[3]), display_width(lines[4]));
}

}  // namespace
}  // namespace lxmgr::cli
