#include <gmock/gmock.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/database/temp_database.h"

using namespace lxmgr;
using namespace lxmgr::database;

namespace {

class CrashTest : public DatabaseTest {
protected:
    /// What the child does until it is killed: each byte in the pipe is a write that was answered with
    /// success.
    void write_for_ever(int ack_fd) {
        auto opened = Database::open(path);
        if (!opened) ::_exit(1);
        for (int i = 0;; ++i) {
            InstanceRecord record;
            record.name = "i" + std::to_string(next_ + i);
            record.profiles = {"default"};
            const auto created = (*opened)->transaction([&]() -> Result<> {
                auto intent = (*opened)->intents().add("create-instance", {{"name", record.name}}, false);
                if (!intent) return std::unexpected(intent.error());
                auto made = (*opened)->instances().create(record);
                if (!made) return std::unexpected(made.error());
                return (*opened)->intents().remove(*intent);
            });
            const auto changed =
                (*opened)->instances().change_config(record.name, {{"user.done", "yes"}}, false);
            if (!created || !changed || ::write(ack_fd, "x", 1) != 1) ::_exit(1);
        }
    }

    /// Kills the writer after `acks` answers; returns how many there were.
    int run_and_kill(int acks) {
        int ends[2];
        EXPECT_EQ(::pipe(ends), 0);
        const pid_t child = ::fork();
        if (child == 0) write_for_ever(ends[1]);
        ::close(ends[1]);
        int seen = 0;
        char byte = 0;
        while (seen < acks && ::read(ends[0], &byte, 1) == 1) ++seen;
        EXPECT_EQ(::kill(child, SIGKILL), 0);
        while (::read(ends[0], &byte, 1) == 1) ++seen;
        ::close(ends[0]);
        int status = 0;
        EXPECT_EQ(::waitpid(child, &status, 0), child);
        EXPECT_TRUE(WIFSIGNALED(status));
        return seen;
    }

    void check_integrity() {
        sqlite3* raw = nullptr;
        ASSERT_EQ(sqlite3_open(path.c_str(), &raw), SQLITE_OK);
        std::string answer;
        const auto keep = [](void* out, int, char** values, char**) {
            *static_cast<std::string*>(out) += values[0];
            return 0;
        };
        EXPECT_EQ(sqlite3_exec(raw, "PRAGMA integrity_check", keep, &answer, nullptr), SQLITE_OK);
        EXPECT_EQ(sqlite3_exec(raw, "PRAGMA foreign_key_check", keep, &answer, nullptr), SQLITE_OK);
        EXPECT_EQ(answer, "ok");
        sqlite3_close(raw);
    }

    int next_ = 0;
};

}  // namespace

TEST_F(CrashTest, WhatWasAnsweredSurvivesKill) {
    for (const int acks : {0, 1, 2, 5, 9, 14}) {
        db.reset();
        const int seen = run_and_kill(acks);
        check_integrity();
        reopen();
        for (int i = next_; i < next_ + seen; ++i) {
            const auto found = db->instances().find("i" + std::to_string(i));
            ASSERT_NE(found, nullptr) << i;
            EXPECT_EQ(found->config.count("user.done"), 1U);
        }
        // At most the one write that was under way.
        const auto count = static_cast<int>(db->instances().list().size());
        EXPECT_GE(count, next_ + seen);
        EXPECT_LE(count, next_ + seen + 1);
        EXPECT_TRUE(db->intents().list()->empty());
        next_ = count;
    }
}

TEST_F(CrashTest, AWriteThatTheDiskRefusesChangesNothing) {
    InstanceRecord record;
    record.name = "big";
    record.config["user.data"] = std::string(200'000, 'x');
    struct stat wal{};
    ASSERT_EQ(::stat((path + "-wal").c_str(), &wal), 0);
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
    const rlimit tight{static_cast<rlim_t>(wal.st_size) + 50'000, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
    const auto generation = db->instances().generation();
    const auto created = db->instances().create(record);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    ::signal(SIGXFSZ, old_handler);
    ASSERT_FALSE(created);
    EXPECT_EQ(created.error().status, Status::internal);
    EXPECT_EQ(db->instances().find("big"), nullptr);
    EXPECT_EQ(db->instances().generation(), generation);
    // The same request again succeeds.
    EXPECT_TRUE(db->instances().create(record));
    reopen();
    EXPECT_NE(db->instances().find("big"), nullptr);
}
