#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

/// Private to the room: one prepared SQL statement.
namespace lxmgr::database {

/// What sqlite says about its last failure, as an Error: `internal`; sys_errno ENOSPC when the disk is full.
std::unexpected<Error> sql_failure(sqlite3* db);

class Statement {
public:
    static Result<Statement> prepare(sqlite3* db, std::string_view sql);

    /// Binds the next parameter. Texts are copied.
    void bind(std::int64_t value);
    void bind(int value) { bind(std::int64_t{value}); }
    void bind(bool value) { bind(std::int64_t{value}); }
    void bind(std::string_view value);
    void bind(const std::string& value) { bind(std::string_view(value)); }
    void bind(const char* value) { bind(std::string_view(value)); }
    void bind(Time value) { bind(std::int64_t{value.time_since_epoch().count()}); }

    /// True: a row is there; false: the end.
    Result<bool> step();
    /// Runs a statement that gives no rows.
    Result<> run();

    [[nodiscard]] std::int64_t integer(int column) const;
    [[nodiscard]] bool flag(int column) const { return integer(column) != 0; }
    [[nodiscard]] Time time(int column) const { return Time(std::chrono::nanoseconds(integer(column))); }
    /// Valid until the next step().
    [[nodiscard]] std::string_view text(int column) const;
    [[nodiscard]] std::string string(int column) const { return std::string(text(column)); }

private:
    struct Finalize {
        void operator()(sqlite3_stmt* statement) const;
    };
    explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
    std::unique_ptr<sqlite3_stmt, Finalize> statement_;
    int next_parameter_ = 1;
    bool bind_failed_ = false;
};

}  // namespace lxmgr::database
