#include <gmock/gmock.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>

#include "tests/unit/database/temp_database.h"

using namespace lxmgr;
using namespace lxmgr::database;
using testing::HasSubstr;

namespace {

void run_sql(const std::string& path, const char* sql) {
    sqlite3* raw = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &raw), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(raw, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(raw);
    sqlite3_close(raw);
}

mode_t mode_of(const std::string& path) {
    struct stat info{};
    EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 07777;
}

InstanceRecord named(const std::string& name) {
    InstanceRecord record;
    record.name = name;
    record.profiles = {"default"};
    return record;
}

}  // namespace

TEST_F(DatabaseTest, FilesAreForTheDaemonAlone) {
    EXPECT_EQ(mode_of(directory + "/database"), 0700U);
    EXPECT_EQ(mode_of(path), 0600U);
    EXPECT_EQ(mode_of(path + "-wal"), 0600U);
    EXPECT_EQ(mode_of(path + "-shm"), 0600U);
}

TEST_F(DatabaseTest, ADatabaseOfANewerProgramIsRefused) {
    db.reset();
    run_sql(path, "PRAGMA user_version=99");
    EXPECT_THAT(message_of(Database::open(path)), HasSubstr("written by a newer lxmgr"));
}

TEST_F(DatabaseTest, AForeignDatabaseIsRefused) {
    db.reset();
    const std::string other = directory + "/other.db";
    run_sql(other, "CREATE TABLE t (x)");
    EXPECT_THAT(message_of(Database::open(other)), HasSubstr("belongs to another program"));
}

TEST_F(DatabaseTest, AFileThatIsNoDatabaseIsRefused) {
    const std::string other = directory + "/text";
    std::ofstream(other) << std::string(4096, 'x');
    EXPECT_THAT(message_of(Database::open(other)), HasSubstr("file is not a database"));
}

TEST_F(DatabaseTest, DamagedConfigIsAnErrorThatNamesTheRow) {
    ASSERT_TRUE(db->instances().create(named("web")));
    for (const char* damage : {"{", "[]", "{\"a\":1}", "", "nul"}) {
        db.reset();
        run_sql(path, (std::string("UPDATE instances SET config='") + damage + "'").c_str());
        EXPECT_THAT(message_of(Database::open(path)), HasSubstr("the config of instance 'web' is damaged"));
    }
}

TEST_F(DatabaseTest, TransactionKeepsAllOrNothing) {
    const auto failed = db->transaction([this]() -> Result<> {
        EXPECT_TRUE(db->instances().create(named("a")));
        EXPECT_TRUE(db->profiles().create({0, "p", "", {}, {}}));
        EXPECT_NE(db->instances().find("a"), nullptr);  // its own writes are visible to it
        EXPECT_EQ(db->instances().list().size(), 1U);
        return fail(Status::bad_request, "no");
    });
    EXPECT_EQ(message_of(failed), "no");
    EXPECT_EQ(db->instances().find("a"), nullptr);
    EXPECT_EQ(db->profiles().find("p"), nullptr);
    ASSERT_TRUE(db->transaction([this]() -> Result<> {
        auto made = db->profiles().create({0, "p", "", {}, {}});
        if (!made) return std::unexpected(made.error());
        InstanceRecord record = named("a");
        record.profiles = {"p"};
        auto created = db->instances().create(record);
        if (!created) return std::unexpected(created.error());
        return {};
    }));
    reopen();
    EXPECT_NE(db->instances().find("a"), nullptr);
    EXPECT_NE(db->profiles().find("p"), nullptr);
}

TEST_F(DatabaseTest, AFailedStepInsideATransactionLeavesTheOthers) {
    ASSERT_TRUE(db->transaction([this]() -> Result<> {
        EXPECT_TRUE(db->instances().create(named("a")));
        InstanceRecord bad = named("b");
        bad.profiles = {"default", "absent"};
        EXPECT_FALSE(db->instances().create(bad));
        return {};
    }));
    reopen();
    EXPECT_NE(db->instances().find("a"), nullptr);
    EXPECT_EQ(db->instances().find("b"), nullptr);
}

TEST_F(DatabaseTest, AFailedInnerTransactionDoomsTheOuter) {
    const auto outcome = db->transaction([this]() -> Result<> {
        auto inner = db->transaction([this]() -> Result<> {
            EXPECT_TRUE(db->instances().create(named("a")));
            return fail(Status::internal, "inner");
        });
        EXPECT_FALSE(inner);
        return {};
    });
    EXPECT_EQ(message_of(outcome), "inner");
    EXPECT_EQ(db->instances().find("a"), nullptr);
}

TEST_F(DatabaseTest, AnExceptionRollsBack) {
    EXPECT_THROW((void)db->transaction([this]() -> Result<> {
        EXPECT_TRUE(db->instances().create(named("a")));
        throw std::bad_alloc();
    }),
                 std::bad_alloc);
    EXPECT_EQ(db->instances().find("a"), nullptr);
    EXPECT_TRUE(db->instances().create(named("a")));
}

TEST_F(DatabaseTest, OtherThreadsSeeATransactionWhenItIsCommitted) {
    std::atomic<int> seen{-1};
    ASSERT_TRUE(db->transaction([&]() -> Result<> {
        EXPECT_TRUE(db->instances().create(named("a")));
        std::thread([&] { seen = static_cast<int>(db->instances().list().size()); }).join();
        return {};
    }));
    EXPECT_EQ(seen, 0);
    EXPECT_EQ(db->instances().list().size(), 1U);
}

TEST_F(DatabaseTest, OpensAHundredInstancesQuickly) {
    ASSERT_TRUE(db->transaction([this]() -> Result<> {
        for (int i = 0; i < 100; ++i) {
            InstanceRecord record = named("instance-" + std::to_string(i));
            for (int k = 0; k < 40; ++k) record.config["user.key" + std::to_string(k)] = std::string(40, 'v');
            EXPECT_TRUE(db->instances().create(record));
        }
        return {};
    }));
    // 10 ms is the aim of a release build on an idle machine; sanitizers take their share, neighbours not
    // each time.
    constexpr std::chrono::milliseconds kLimit{250};
    auto took = std::chrono::steady_clock::duration::max();
    for (int round = 0; round < 20 && took >= kLimit; ++round) {
        db.reset();
        const auto start = std::chrono::steady_clock::now();
        reopen();
        took = std::chrono::steady_clock::now() - start;
        EXPECT_EQ(db->instances().list().size(), 100U);
    }
    RecordProperty("open_us",
                   static_cast<int>(std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
    EXPECT_LT(took, kLimit);
}
