#include "lxd-daemon/database/connection.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/own.h"
#include "lxd-daemon/database/schema.h"

namespace lxmgr::database {
namespace {

// sqlite gives -wal and -shm the mode of the database file, so that it is enough to create that one.
Result<> create_file(const std::string& path) {
    if (const auto slash = path.rfind('/'); slash != std::string::npos && slash > 0) {
        LX_TRY(make_directory(path.substr(0, slash), 0700));
    }
    const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return fail_errno("open", path);
    if (::fchmod(fd.get(), 0600) != 0) return fail_errno("fchmod", path);
    return {};
}

// All reads come from memory, so that sqlite needs next to no cache. The WAL is checkpointed every 4 MiB:
// that costs the commit which does it some syncs. What the opening itself writes (schema) need not be synced:
// it would be written again.
constexpr const char* kPragmas[] = {
    "PRAGMA busy_timeout=5000",       "PRAGMA synchronous=NORMAL", "PRAGMA journal_mode=WAL",
    "PRAGMA foreign_keys=ON",         "PRAGMA cache_size=-512",    "PRAGMA journal_size_limit=8388608",
    "PRAGMA wal_autocheckpoint=1000", "PRAGMA trusted_schema=OFF", "PRAGMA temp_store=MEMORY",
};

}  // namespace

Result<std::unique_ptr<Connection>> Connection::open(const std::string& path) {
    LX_TRY(create_file(path));
    sqlite3* db = nullptr;
    // One connection, always used under our own mutex.
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    const int status = sqlite3_open_v2(path.c_str(), &db, flags, nullptr);
    std::unique_ptr<Connection> connection(new Connection(db));
    if (status != SQLITE_OK) return sql_failure(db);
    sqlite3_db_config(db, SQLITE_DBCONFIG_LOOKASIDE, nullptr, 256, 64);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    for (const char* pragma : kPragmas) {
        if (auto done = connection->execute(pragma); !done) {
            return std::unexpected(in(fmt::format("Opening database '{}'", path), std::move(done).error()));
        }
    }
    LX_TRY(migrate(*connection, path));
    return connection;
}

Connection::~Connection() { sqlite3_close_v2(db_); }

std::int64_t Connection::last_insert_id() const { return sqlite3_last_insert_rowid(db_); }

Result<std::size_t> Connection::execute_first(std::string_view script) {
    sqlite3_stmt* raw = nullptr;
    const char* rest = nullptr;
    if (sqlite3_prepare_v2(db_, script.data(), static_cast<int>(script.size()), &raw, &rest) != SQLITE_OK) {
        return sql_failure(db_);
    }
    if (raw != nullptr) {  // null: only blanks or a comment were left
        const int status = sqlite3_step(raw);
        sqlite3_finalize(raw);
        if (status != SQLITE_DONE && status != SQLITE_ROW) return sql_failure(db_);
    }
    return static_cast<std::size_t>(rest - script.data());
}

Result<> Connection::begin(Durability durability) {
    if (durability != current_) {  // has no effect inside a transaction, hence here
        LX_TRY(execute(durability == Durability::full ? "PRAGMA synchronous=FULL"
                                                      : "PRAGMA synchronous=NORMAL"));
        current_ = durability;
    }
    return execute("BEGIN IMMEDIATE");
}

Result<> Connection::commit() {
    failpoint("database.before_commit");
    if (failpoint_fails("database.commit"))
        return fail(Status::internal, "Database: commit failed (failpoint)");
    LX_TRY(execute("COMMIT"));
    begun_ = false;
    failpoint("database.after_commit");
    memory.publish();
    return {};
}

void Connection::roll_back() {
    // Some errors (disk full, I/O) make sqlite roll back by itself; a second ROLLBACK would only fail.
    if (sqlite3_get_autocommit(db_) == 0) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
}

Result<> Connection::part(const std::function<Result<>()>& work) {
    if (!begun_) LX_TRY(begin(Durability::full));
    begun_ = true;
    LX_TRY(execute("SAVEPOINT part"));
    auto done = work();
    if (!done) sqlite3_exec(db_, "ROLLBACK TO part", nullptr, nullptr, nullptr);
    LX_TRY(execute("RELEASE part"));
    return done;
}

void Connection::enter() {
    in_transaction_ = true;
    begun_ = false;
    doom_.reset();
    memory.visibility.writer.store(std::this_thread::get_id());
}

void Connection::leave() {
    if (begun_) roll_back();  // nothing is left to roll back after a commit
    memory.discard();
    in_transaction_ = begun_ = false;
    memory.visibility.writer.store({});
}

Result<> Connection::write(Durability durability, const std::function<Result<>()>& work) {
    const std::unique_lock guard(mutex_);
    if (in_transaction_) return part(work);
    enter();
    Revert leaving;
    leaving.add([this] { leave(); });
    LX_TRY(begin(durability));
    begun_ = true;
    LX_TRY(work());
    return commit();
}

Result<> Connection::transaction(const std::function<Result<>()>& work) {
    const std::unique_lock guard(mutex_);
    if (in_transaction_) {
        auto done = work();
        if (!done && !doom_) doom_ = done.error();
        return done;
    }
    enter();
    Revert leaving;
    leaving.add([this] { leave(); });
    LX_TRY(work());
    if (doom_) return std::unexpected(*doom_);
    if (!begun_) return {};
    return commit();
}

}  // namespace lxmgr::database
