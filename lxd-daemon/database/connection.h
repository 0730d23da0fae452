#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "lxd-daemon/base/result.h"
#include "lxd-daemon/database/memory.h"
#include "lxd-daemon/database/statement.h"

struct sqlite3;

/// Private to the room: the one sqlite connection, its transactions, and the records in memory that follow
/// them.
namespace lxmgr::database {

/// full: fsync before the commit returns; normal: left to the next checkpoint or full commit
/// (https://www.sqlite.org/pragma.html#pragma_synchronous: in WAL mode both survive the death of the
/// process).
enum class Durability { full, normal };

class Connection {
public:
    /// Opens or creates the file (0600) and brings its schema up to date.
    static Result<std::unique_ptr<Connection>> open(const std::string& path);
    ~Connection();
    Connection(Connection&&) = delete;

    Memory memory;

    /// Work of a repository: SQL and staged records are committed together, or neither. Inside transaction()
    /// of the same thread it is a part of that one (a savepoint) and `durability` does not count.
    Result<> write(Durability durability, const std::function<Result<>()>& work);
    /// As write(), for work that gives the stored record.
    template <typename Ptr, typename Work>
    Result<Ptr> write_record(Durability durability, Work work) {
        Ptr stored;
        auto done = write(durability, [&]() -> Result<> {
            LX_TRY_AS(stored, work());
            return {};
        });
        LX_TRY(std::move(done));
        return stored;
    }
    /// Several write()s as one. A transaction() inside another is a part of it; when it fails, the outer one
    /// fails too.
    Result<> transaction(const std::function<Result<>()>& work);
    /// Holds off writers; for reads that use SQL.
    [[nodiscard]] std::unique_lock<std::recursive_mutex> lock() { return std::unique_lock(mutex_); }

    Result<Statement> prepare(std::string_view sql) { return Statement::prepare(db_, sql); }
    /// Runs a statement without rows; arguments bind in order.
    template <typename... Args>
    Result<> execute(std::string_view sql, const Args&... args) {
        LX_TRY_AS(auto statement, prepare(sql));
        (statement.bind(args), ...);
        return statement.run();
    }
    /// Runs the first statement of a script; returns how many bytes of it that was.
    Result<std::size_t> execute_first(std::string_view script);
    [[nodiscard]] std::int64_t last_insert_id() const;

private:
    explicit Connection(sqlite3* db) : db_(db) {}
    Result<> begin(Durability durability);
    Result<> commit();
    void roll_back();
    void enter();
    void leave();
    Result<> part(const std::function<Result<>()>& work);

    std::recursive_mutex mutex_;
    sqlite3* db_;
    bool in_transaction_ = false;              ///< inside transaction()
    bool begun_ = false;                       ///< BEGIN was sent
    std::optional<Error> doom_;                ///< why the outer transaction must fail
    Durability current_ = Durability::normal;  ///< as the pragmas of open() set it
};

}  // namespace lxmgr::database
