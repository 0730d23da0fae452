#include "profiles/snapshot_keys.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

using namespace lxmgr;
using namespace lxmgr::profiles;

namespace {

/// Calendar arithmetic is in the host's time zone: here a fixed one.
class SnapshotKeysTest : public testing::Test {
protected:
    void SetUp() override {
        ::setenv("TZ", "UTC", 1);
        ::tzset();
    }
    static std::string next(const char* schedule, const char* after) {
        const auto found = next_scheduled(schedule, parse_rfc3339(after).value());
        return found ? to_rfc3339(*found) : found.error().message;
    }
    static std::string expiry(const char* span, const char* from) {
        const auto found = expiry_after(span, parse_rfc3339(from).value());
        return found ? to_rfc3339(*found) : found.error().message;
    }
};

}  // namespace

TEST_F(SnapshotKeysTest, CronLinesGiveTheNextTimeAfterTheGivenOne) {
    EXPECT_EQ(next("* * * * *", "2026-11-21T10:00:00Z"), "2026-11-21T10:01:00Z");
    EXPECT_EQ(next("30 4 * * *", "2026-11-21T04:30:00Z"), "2026-11-22T04:30:00Z");
    EXPECT_EQ(next("*/20 8-10 * * *", "2026-11-21T10:45:00Z"), "2026-11-22T08:00:00Z");
    EXPECT_EQ(next("0 0 29 2 *", "2026-11-21T00:00:00Z"), "2028-02-29T00:00:00Z");
    EXPECT_EQ(next("0 12 * jan mon", "2026-11-21T00:00:00Z"), "2027-01-04T12:00:00Z");
    EXPECT_EQ(next("0 0 13 * 5", "2026-11-21T00:00:00Z"), "2026-11-27T00:00:00Z");
    EXPECT_EQ(next("0 0 * * 7", "2026-11-21T00:00:00Z"), "2026-11-22T00:00:00Z");
    EXPECT_EQ(next("5,10 0 1 12 *", "2026-12-01T00:05:00Z"), "2026-12-01T00:10:00Z");
}

TEST_F(SnapshotKeysTest, AliasesMeanWhatCronSays) {
    EXPECT_EQ(next("@hourly", "2026-11-21T10:20:00Z"), "2026-11-21T11:00:00Z");
    EXPECT_EQ(next("@weekly, @daily", "2026-11-21T10:20:00Z"), "2026-11-22T00:00:00Z");
    EXPECT_EQ(next("@yearly", "2026-11-21T10:20:00Z"), "2027-01-01T00:00:00Z");
    EXPECT_EQ(next("@never", "2026-11-21T10:20:00Z"), "0001-01-01T00:00:00Z");
    EXPECT_EQ(next("0 0 30 2 *", "2026-11-21T00:00:00Z"), "0001-01-01T00:00:00Z");
    EXPECT_TRUE(is_scheduled_at_startup("@daily, @startup"));
    EXPECT_FALSE(is_scheduled_at_startup("@daily"));
}

TEST_F(SnapshotKeysTest, BadSchedulesAreRefused) {
    for (const char* bad :
         {"", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "5-1 * * * *",
          "*/0 * * * *", "x * * * *", "@sometimes", "@daily,,@hourly", "1- * * * *"})
        EXPECT_FALSE(next_scheduled(bad, Time{})) << bad;
}

TEST_F(SnapshotKeysTest, ExpiryAddsCalendarTime) {
    EXPECT_EQ(expiry("5M 2H", "2026-11-21T10:00:00Z"), "2026-11-21T12:05:00Z");
    EXPECT_EQ(expiry("1d 1w", "2026-11-21T10:00:00Z"), "2026-11-29T10:00:00Z");
    EXPECT_EQ(expiry("2m 1y", "2026-11-21T10:00:00Z"), "2028-01-21T10:00:00Z");
    for (const char* bad : {"", "3", "d", "3x", "-1d", "1d 2d", "1.5d", "999999999y"})
        EXPECT_FALSE(expiry_after(bad, Time{})) << bad;
}

TEST_F(SnapshotKeysTest, PatternsCountAndTellTheTime) {
    const Time time = parse_rfc3339("2026-11-21T05:06:07Z").value();
    EXPECT_EQ(snapshot_name("snap%d", time, {}), "snap0");
    EXPECT_EQ(snapshot_name("snap%d", time, {"snap0", "snap7", "snapx", "other9"}), "snap8");
    EXPECT_EQ(snapshot_name("a%db", time, {"a3b"}), "a4b");
    EXPECT_EQ(snapshot_name("{{ creation_date|date:'2006-01-02_15-04-05' }}", time, {}),
              "2026-11-21_05-06-07");
    EXPECT_EQ(snapshot_name("x{{creation_date|date:\"Jan\"}}", time, {"xNov"}), "xNov-0");
    EXPECT_EQ(snapshot_name("x", time, {"x", "x-0"}), "x-1");
    for (const char* bad :
         {"", "a/b", "a b", "%d%d", "{{ creation_date }}", "{{ x|date:'2006' }}", "{{", "{% if %}"})
        EXPECT_FALSE(expand_snapshot_pattern(bad, time)) << bad;
}

TEST_F(SnapshotKeysTest, ExpiryByOrigin) {
    const Time from = parse_rfc3339("2026-01-01T00:00:00Z").value();
    const auto after = [&](const lxmgr::api::ConfigMap& config, SnapshotOrigin origin) {
        return snapshot_expiry(config, origin, from).value() - from;
    };
    EXPECT_EQ(snapshot_expiry({}, SnapshotOrigin::hand, from).value(), Time{});
    const lxmgr::api::ConfigMap one{{"snapshots.expiry", "1d"}};
    EXPECT_EQ(after(one, SnapshotOrigin::hand), std::chrono::hours(24));
    const lxmgr::api::ConfigMap both{{"snapshots.expiry", "1d"}, {"snapshots.expiry.manual", "2d"}};
    EXPECT_EQ(after(both, SnapshotOrigin::hand), std::chrono::hours(48));
    EXPECT_EQ(after(both, SnapshotOrigin::schedule), std::chrono::hours(24));
}
