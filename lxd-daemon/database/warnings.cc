#include <fmt/format.h>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/database/connection.h"

namespace lxmgr::database {
namespace {

constexpr int kResolved = 3;

std::unexpected<Error> no_warning() { return fail(Status::not_found, "Warning not found"); }

WarningRecord read_warning(const Statement& row) {
    WarningRecord out;
    out.uuid = row.string(0);
    out.type = row.string(1);
    out.entity_url = row.string(2);
    out.project = row.string(3);
    out.last_message = row.string(4);
    out.severity = static_cast<int>(row.integer(5));
    out.status = static_cast<int>(row.integer(6));
    out.count = static_cast<int>(row.integer(7));
    out.first_seen_at = row.time(8);
    out.last_seen_at = row.time(9);
    return out;
}

}  // namespace

/// Warnings are few and rarely read: they stay in SQL.
struct Warnings::Impl {
    Connection& connection;

    Result<std::string> find_open(const std::string& type, const std::string& entity_url) {
        LX_TRY_AS(auto row, connection.prepare(
                                "SELECT uuid FROM warnings WHERE type=? AND entity_url=? AND status<>?"));
        row.bind(type);
        row.bind(entity_url);
        row.bind(kResolved);
        LX_TRY_AS(const bool found, row.step());
        return found ? row.string(0) : std::string();
    }
    Result<bool> exists(const std::string& uuid) {
        LX_TRY_AS(auto row, connection.prepare("SELECT 1 FROM warnings WHERE uuid=?"));
        row.bind(uuid);
        return row.step();
    }
};

Warnings::Warnings(Connection& connection) : impl_(std::make_unique<Impl>(Impl{connection})) {}
Warnings::~Warnings() = default;

Result<> Warnings::raise(const std::string& type, int severity, const std::string& entity_url,
                         const std::string& message) {
    auto& db = impl_->connection;
    return db.write(Durability::normal, [&]() -> Result<> {
        const Time seen = now();
        LX_TRY_AS(const std::string uuid, impl_->find_open(type, entity_url));
        if (!uuid.empty()) {
            return db.execute(
                "UPDATE warnings SET count=count+1, severity=?, last_message=?, last_seen_at=? "
                "WHERE uuid=?",
                severity, message, seen, uuid);
        }
        return db.execute(
            "INSERT INTO warnings (uuid, type, entity_url, project, last_message, severity, status, "
            "count, first_seen_at, last_seen_at) VALUES (?,?,?,'default',?,?,1,1,?,?)",
            random_uuid(), type, entity_url, message, severity, seen, seen);
    });
}

Result<> Warnings::resolve(const std::string& type, const std::string& entity_url) {
    auto& db = impl_->connection;
    return db.write(Durability::normal, [&]() -> Result<> {
        return db.execute("UPDATE warnings SET status=? WHERE type=? AND entity_url=?", kResolved, type,
                          entity_url);
    });
}

Result<std::vector<WarningRecord>> Warnings::list() const {
    const auto guard = impl_->connection.lock();
    std::vector<WarningRecord> out;
    LX_TRY_AS(auto rows,
              impl_->connection.prepare("SELECT uuid, type, entity_url, project, last_message, severity, "
                                        "status, count, first_seen_at, last_seen_at FROM warnings "
                                        "ORDER BY first_seen_at, uuid"));
    while (true) {
        LX_TRY_AS(const bool more, rows.step());
        if (!more) return out;
        out.push_back(read_warning(rows));
    }
}

Result<> Warnings::set_status(const std::string& uuid, int status) {
    auto& db = impl_->connection;
    return db.write(Durability::full, [&]() -> Result<> {
        LX_TRY_AS(const bool found, impl_->exists(uuid));
        if (!found) return no_warning();
        return db.execute("UPDATE warnings SET status=? WHERE uuid=?", status, uuid);
    });
}

Result<> Warnings::remove(const std::string& uuid) {
    auto& db = impl_->connection;
    return db.write(Durability::full, [&]() -> Result<> {
        LX_TRY_AS(const bool found, impl_->exists(uuid));
        if (!found) return no_warning();
        return db.execute("DELETE FROM warnings WHERE uuid=?", uuid);
    });
}

}  // namespace lxmgr::database
