#include "lxd-daemon/rest/history.h"

#include <limits>

#include "lxd-daemon/rest/route.h"
#include "tests/unit/database/temp_database.h"
#include "tests/unit/rest/entity_fixture.h"

using namespace lxmgr;
using namespace lxmgr::rest;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

namespace {

constexpr auto kNewest = std::numeric_limits<std::int64_t>::max();

/// The trail over a real database; nothing runs on the I/O thread, so that it is written by flush() alone.
class TrailTest : public DatabaseTest {
protected:
    void SetUp() override {
        DatabaseTest::SetUp();
        services_.database = db.get();
        trail_.emplace(services_);
    }
    void TearDown() override {
        trail_.reset();
        DatabaseTest::TearDown();
    }
    static Request request_of(const std::string& path) {
        Request request;
        request.path = path;
        request.identity.who = auth::Who::local;
        request.requestor_json = R"({"username":"root","protocol":"unix","address":"@"})";
        return request;
    }
    std::vector<database::HistoryRecord> written() {
        EXPECT_TRUE(trail_->flush());
        return db->history().read(kNewest, 100'000).value();
    }
    database::HistoryRecord only() {
        const auto all = written();
        EXPECT_EQ(all.size(), 1U);
        return all.empty() ? database::HistoryRecord{} : all.front();
    }

    boost::asio::io_context io_{1};
    events::Hub hub_;
    operations::WorkerPool workers_;
    operations::Registry registry_{workers_, hub_};
    Services services_{
        .root = "/nowhere", .io = io_, .workers = workers_, .operations = registry_, .hub = hub_};
    std::optional<History> trail_;
};

class HistoryRoutesTest : public testing_support::EntityRoutesTest {
protected:
    HistoryRoutesTest() { services().history = &trail_; }
    History trail_{services()};
};

}  // namespace

TEST_F(TrailTest, KeepsWhatChangesOrIsRefusedOrChangesWithoutSayingSo) {
    const auto refused = Response::error({Status::forbidden, "Not authorized", 0});
    for (const char* method : {"GET", "HEAD", "OPTIONS"})
        trail_->note(request_of("/1.0/instances"), method, Response::empty());
    EXPECT_THAT(written(), IsEmpty());
    trail_->note(request_of("/1.0/instances"), "GET", refused);
    trail_->note(request_of("/1.0/instances/a/sftp"), "GET", Response::upgrade_done());
    trail_->note(request_of("/1.0/profiles/p"), "PATCH", Response::empty());
    trail_->note(request_of(""), "PUT", refused);  // a request without a path was none
    auto of_guest = request_of("/1.0/state");
    of_guest.guest = "web";
    trail_->note(of_guest, "PATCH", Response::empty());
    std::vector<std::pair<std::string, std::string>> seen;
    for (const auto& record : written()) seen.emplace_back(record.path, record.result);
    EXPECT_THAT(seen, ElementsAre(std::pair("/1.0/profiles/p", "success"),
                                  std::pair("/1.0/instances/a/sftp", "success"),
                                  std::pair("/1.0/instances", "refused")));
}

TEST_F(TrailTest, SaysWhoAskedAndWhyItFailed) {
    auto request = request_of("/1.0/profiles/p");
    request.query = {{"project", "web"}};
    trail_->note(request, "DELETE", Response::error({Status::not_found, "Profile not found", 0}));
    const auto record = only();
    EXPECT_EQ(record.username, "root");
    EXPECT_EQ(record.protocol, "unix");
    EXPECT_EQ(record.address, "@");
    EXPECT_EQ(record.project, "web");
    EXPECT_EQ(record.http_status, 404);
    EXPECT_EQ(record.result, "failure");
    EXPECT_EQ(record.error, "Profile not found");
    EXPECT_TRUE(record.known);
    EXPECT_EQ(record.ended_at, record.created_at);
}

TEST_F(TrailTest, NamesTheCertificateAndTellsStrangersApart) {
    database::CertificateRecord certificate;
    certificate.fingerprint = "f1";
    certificate.name = "laptop";
    ASSERT_TRUE(db->certificates().create(certificate));
    auto request = request_of("/1.0/profiles");
    request.identity = {.who = auth::Who::client, .fingerprint = "f1"};
    trail_->note(request, "POST", Response::created("/1.0/profiles/p"));
    EXPECT_EQ(written()[0].certificate, "laptop");
    request.identity = {.who = auth::Who::untrusted, .fingerprint = "f1"};
    trail_->note(request, "POST", Response::error({Status::forbidden, "Not authorized", 0}));
    EXPECT_FALSE(written()[0].known);
    EXPECT_EQ(written()[0].certificate, "");
}

TEST_F(TrailTest, ShowsOfTheQueryWhatIsNoSecret) {
    auto request = request_of("/1.0/instances/a/files");
    request.query = {{"path", "/etc/passwd"}, {"force", "1"}, {"secret", "hunter2"}, {"target", "b"}};
    trail_->note(request, "POST", Response::empty());
    EXPECT_EQ(only().path, "/1.0/instances/a/files?path=/etc/passwd&force=1&target=b");
}

TEST_F(TrailTest, BoundsAndCleansWhatStrangersSend) {
    auto request = request_of("/" + std::string(5000, 'x'));
    request.query = {{"project", std::string(500, 'p')}};
    trail_->note(request, std::string(300, 'M'), Response::empty());
    request.path = "/\xff\xfe";
    trail_->note(request, "PUT", Response::empty());
    request.path = "/" + std::string(1022, 'x') + "ä";  // the cut would fall into the last character
    trail_->note(request, "PUT", Response::empty());
    const auto found = written();
    ASSERT_EQ(found.size(), 3U);
    EXPECT_EQ(found[2].path, "/" + std::string(1023, 'x') + "...");
    EXPECT_EQ(found[2].project, std::string(64, 'p') + "...");
    EXPECT_EQ(found[2].method, std::string(16, 'M') + "...");
    EXPECT_EQ(found[1].path, "(not UTF-8) 2ffffe");
    EXPECT_EQ(found[0].path, "/" + std::string(1022, 'x') + "...");
}

TEST_F(TrailTest, AFloodLosesTheOldestAndNotTheDaemonsMemory) {
    for (int i = 0; i < 5000; ++i)
        trail_->note(request_of("/" + std::to_string(i)), "PUT", Response::empty());
    const auto found = written();
    ASSERT_EQ(found.size(), 4096U);
    EXPECT_EQ(found.front().path, "/4999");
    EXPECT_EQ(found.back().path, "/904");
}

TEST_F(TrailTest, WhatWaitsIsWrittenAtTheEnd) {
    trail_->note(request_of("/1.0/profiles/p"), "PUT", Response::empty());
    trail_.reset();
    EXPECT_EQ(db->history().read(kNewest, 2).value().size(), 1U);
}

TEST_F(HistoryRoutesTest, AnOperationIsFollowedToItsEnd) {
    const auto uploaded = call("POST", "/1.0/images", testing_support::unified_image("1"),
                               "Content-Type: application/octet-stream\r\n");
    const std::string fingerprint = finished(uploaded)["metadata"]["fingerprint"];
    finished(call("DELETE", "/1.0/images/" + fingerprint));
    const auto shown = metadata("/1.0/lxmgr/history?recursion=1");
    ASSERT_EQ(shown.size(), 2U);
    EXPECT_EQ(shown[1]["method"], "DELETE");
    EXPECT_EQ(shown[1]["result"], "success");
    EXPECT_EQ(shown[1]["description"], "Deleting image");
    EXPECT_EQ(shown[1]["status_code"], 202);
    EXPECT_GE(shown[1]["ended_at"], shown[1]["created_at"]);
    EXPECT_THAT(shown[1]["operation"].get<std::string>(), testing::StartsWith("/1.0/operations/"));
}

TEST_F(HistoryRoutesTest, ListsPagesAndFilters) {
    for (const char* name : {"a", "b", "c"})
        ASSERT_EQ(call("POST", "/1.0/profiles", nlohmann::json{{"name", name}}.dump()).status, 201);
    ASSERT_EQ(call("DELETE", "/1.0/profiles/nosuch").status, 404);
    const auto all = metadata("/1.0/lxmgr/history?recursion=1");
    ASSERT_EQ(all.size(), 4U);
    EXPECT_EQ(all[3]["error"], "Profile not found");
    EXPECT_EQ(metadata("/1.0/lxmgr/history?limit=2"),
              nlohmann::json({"/1.0/lxmgr/history/" + all[2]["id"].dump(),
                              "/1.0/lxmgr/history/" + all[3]["id"].dump()}));
    const auto before = metadata("/1.0/lxmgr/history?recursion=1&before=" + all[1]["id"].dump());
    EXPECT_EQ(before, nlohmann::json::array({all[0]}));
    EXPECT_EQ(metadata("/1.0/lxmgr/history?recursion=1&limit=1&filter=result%20eq%20success")[0], all[2]);
    EXPECT_EQ(metadata("/1.0/lxmgr/history/" + all[3]["id"].dump()), all[3]);
}

TEST_F(HistoryRoutesTest, RefusesWhatIsNoNumber) {
    for (const char* query : {"limit=0", "limit=10001", "limit=-1", "limit=x", "limit=", "before=0",
                              "before=-5", "before=x", "before=99999999999999999999"}) {
        const auto answer = get(std::string("/1.0/lxmgr/history?") + query);
        EXPECT_EQ(answer.status, 400) << query;
    }
    EXPECT_EQ(get("/1.0/lxmgr/history?filter=result%20eq").status, 400);
    for (const char* id : {"0", "-1", "x", "7", "9223372036854775807", "9223372036854775808"})
        EXPECT_EQ(get(std::string("/1.0/lxmgr/history/") + id).status, 404) << id;
}
