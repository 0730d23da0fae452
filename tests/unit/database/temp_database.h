#pragma once
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>

#include "lxd-daemon/database/database.h"

/// A database in a directory of its own, which goes with it.
class DatabaseTest : public testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/lxmgr-database-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        directory = name;
        path = directory + "/database/lxmgr.db";
        reopen();
    }
    void TearDown() override {
        db.reset();
        std::filesystem::remove_all(directory);
    }
    /// What the next daemon would find.
    void reopen() {
        db.reset();
        auto opened = lxmgr::database::Database::open(path);
        ASSERT_TRUE(opened) << opened.error().message;
        db = *std::move(opened);
    }

    std::string directory, path;
    std::unique_ptr<lxmgr::database::Database> db;
};

/// The message of a failed Result, "" of a good one.
template <typename T>
std::string message_of(const lxmgr::Result<T>& result) {
    return result ? std::string() : result.error().message;
}
