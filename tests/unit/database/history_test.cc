#include "lxd-daemon/database/history.h"

#include <gmock/gmock.h>

#include <limits>

#include "tests/unit/database/temp_database.h"

using namespace lxmgr;
using namespace lxmgr::database;
using testing::ElementsAre;
using testing::IsEmpty;

namespace {

constexpr auto kNewest = std::numeric_limits<std::int64_t>::max();

HistoryRecord record_of(const std::string& path, const std::string& result = "success") {
    HistoryRecord record;
    record.created_at = record.ended_at = now();
    record.method = "PUT";
    record.path = path;
    record.http_status = 200;
    record.result = result;
    return record;
}

std::vector<HistoryRecord> many(std::size_t count, const std::string& path, bool known) {
    auto one = record_of(path);
    one.known = known;
    return {count, one};
}

class HistoryTest : public DatabaseTest {
protected:
    std::vector<std::string> paths(std::size_t count = 10, std::int64_t before = kNewest) {
        std::vector<std::string> out;
        const auto records = db->history().read(before, count).value();
        for (const auto& record : records) out.push_back(record.path);
        return out;
    }
    std::size_t count_of(const std::string& wanted) {
        const auto all = db->history().read(kNewest, 100'000).value();
        return static_cast<std::size_t>(std::ranges::count(all, wanted, &HistoryRecord::path));
    }
};

}  // namespace

TEST_F(HistoryTest, EveryFieldOutlivesTheDaemon) {
    HistoryRecord record;
    record.created_at = parse_rfc3339("2026-11-21T05:53:00.123456789Z").value();
    record.ended_at = record.created_at + std::chrono::seconds(2);
    record.known = false;
    record.username = "5f2a";
    record.protocol = "tls";
    record.address = "[fd00::1]:4711";
    record.certificate = "lap'top";
    record.project = "web";
    record.method = "DELETE";
    record.path = "/1.0/instances/a?force=1";
    record.http_status = 403;
    record.result = "refused";
    record.error = "not \"authorized\"";
    record.operation = "8c1e";
    record.description = "Deleting instance";
    ASSERT_TRUE(db->history().add({record}, {}));
    reopen();
    const auto found = db->history().read(kNewest, 2).value();
    ASSERT_EQ(found.size(), 1U);
    const auto& one = found[0];
    EXPECT_GT(one.id, 0);
    EXPECT_EQ(one.created_at, record.created_at);
    EXPECT_EQ(one.ended_at, record.ended_at);
    EXPECT_FALSE(one.known);
    EXPECT_THAT(
        (std::vector{one.username, one.protocol, one.address, one.certificate, one.project, one.method,
                     one.path, one.result, one.error, one.operation, one.description}),
        ElementsAre("5f2a", "tls", "[fd00::1]:4711", "lap'top", "web", "DELETE", "/1.0/instances/a?force=1",
                    "refused", "not \"authorized\"", "8c1e", "Deleting instance"));
    EXPECT_EQ(one.http_status, 403);
}

TEST_F(HistoryTest, IsReadBackwardsPageByPage) {
    ASSERT_TRUE(db->history().add({record_of("a"), record_of("b"), record_of("c")}, {}));
    EXPECT_THAT(paths(2), ElementsAre("c", "b"));
    const auto second = db->history().read(kNewest, 2).value().back().id;
    EXPECT_THAT(paths(2, second), ElementsAre("a"));
    EXPECT_THAT(paths(2, 1), IsEmpty());
    EXPECT_THAT(paths(0), IsEmpty());
}

TEST_F(HistoryTest, AnEndChangesOnlyWhatRanAsThatOperation) {
    auto running = record_of("a", "running"), other = record_of("b", "running"), over = record_of("c");
    running.operation = over.operation = "op1";
    other.operation = "op2";
    running.ended_at = other.ended_at = {};
    // Written together: the end of one that is in the same batch counts too.
    ASSERT_TRUE(db->history().add({running, other, over}, {{"op1", "failure", "no space", now()}}));
    const auto found = db->history().read(kNewest, 3).value();
    EXPECT_EQ(found[0].result, "success");
    EXPECT_EQ(found[1].result, "running");
    EXPECT_EQ(found[1].ended_at, Time{});
    EXPECT_EQ(found[2].result, "failure");
    EXPECT_EQ(found[2].error, "no space");
    EXPECT_GT(found[2].ended_at, Time{});
}

TEST_F(HistoryTest, WhatRanWhenTheDaemonDiedWasInterrupted) {
    auto running = record_of("a", "running");
    running.operation = "op1";
    ASSERT_TRUE(db->history().add({running, record_of("b")}, {}));
    reopen();
    const auto found = db->history().read(kNewest, 2).value();
    EXPECT_EQ(found[0].result, "success");
    EXPECT_EQ(found[1].result, "interrupted");
    // The same end that comes late changes nothing.
    ASSERT_TRUE(db->history().add({}, {{"op1", "success", "", now()}}));
    EXPECT_EQ(db->history().read(kNewest, 2).value()[1].result, "interrupted");
}

TEST_F(HistoryTest, StrangersPushOutOnlyStrangers) {
    ASSERT_TRUE(db->history().add(many(10, "/known", true), {}));
    for (int i = 0; i < 6; ++i) ASSERT_TRUE(db->history().add(many(500, "/stranger", false), {}));
    EXPECT_EQ(count_of("/known"), 10U);
    EXPECT_GE(count_of("/stranger"), 2000U);
    EXPECT_LT(count_of("/stranger"), 2500U + 1);  // pruned with every 500 that are added
}

TEST_F(HistoryTest, WhatIsTooOldIsNeitherShownNorKept) {
    auto old = record_of("/old");
    old.created_at = now() - std::chrono::days(91);
    auto nearly = record_of("/nearly");
    nearly.created_at = now() - std::chrono::days(89);
    ASSERT_TRUE(db->history().add({old, nearly, record_of("/new")}, {}));
    EXPECT_THAT(paths(), ElementsAre("/new", "/nearly"));
    ASSERT_TRUE(db->history().add(many(500, "/later", true), {}));
    EXPECT_EQ(count_of("/nearly"), 1U);
}

TEST_F(HistoryTest, BytesThatWouldEndTheStatementAreOnlyText) {
    const std::string evil = "'; DROP TABLE history; --";
    ASSERT_TRUE(db->history().add({record_of(evil)}, {{evil, evil, evil, now()}}));
    EXPECT_THAT(paths(), ElementsAre(evil));
}
