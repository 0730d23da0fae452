#include "lxd-daemon/database/statement.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cerrno>

namespace lxmgr::database {

std::unexpected<Error> sql_failure(sqlite3* db) {
    const int number = sqlite3_errcode(db) == SQLITE_FULL ? ENOSPC : sqlite3_system_errno(db);
    return std::unexpected(Error{Status::internal, fmt::format("Database: {}", sqlite3_errmsg(db)), number});
}

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

Result<Statement> Statement::prepare(sqlite3* db, std::string_view sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(db, sql.data(), static_cast<int>(sql.size()), &statement, nullptr) != SQLITE_OK) {
        return sql_failure(db);
    }
    return Statement(statement);
}

void Statement::bind(std::int64_t value) {
    bind_failed_ |= sqlite3_bind_int64(statement_.get(), next_parameter_++, value) != SQLITE_OK;
}

void Statement::bind(std::string_view value) {
    // An empty view may hold a null pointer, which sqlite would take for NULL.
    const char* data = value.data() == nullptr ? "" : value.data();
    bind_failed_ |= sqlite3_bind_text64(statement_.get(), next_parameter_++, data, value.size(),
                                        SQLITE_TRANSIENT, SQLITE_UTF8) != SQLITE_OK;
}

Result<bool> Statement::step() {
    if (bind_failed_) return sql_failure(sqlite3_db_handle(statement_.get()));
    switch (sqlite3_step(statement_.get())) {
        case SQLITE_ROW:
            return true;
        case SQLITE_DONE:
            return false;
        default:
            return sql_failure(sqlite3_db_handle(statement_.get()));
    }
}

Result<> Statement::run() {
    LX_TRY(step());
    return {};
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }

std::string_view Statement::text(int column) const {
    const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
    if (data == nullptr) return {};
    return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

}  // namespace lxmgr::database
