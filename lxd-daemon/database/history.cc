#include "lxd-daemon/database/history.h"

#include "lxd-daemon/database/connection.h"

namespace lxmgr::database {
namespace {

constexpr std::int64_t kKnownKept = 50'000;
constexpr std::int64_t kStrangersKept = 2'000;
constexpr std::chrono::days kAgeKept{90};
constexpr std::size_t kAddedBetweenPrunings = 500;

Time oldest_kept() { return now() - kAgeKept; }

HistoryRecord read_history(const Statement& row) {
    HistoryRecord out;
    out.id = row.integer(0);
    out.created_at = row.time(1);
    out.ended_at = row.time(2);
    out.known = row.flag(3);
    out.username = row.string(4);
    out.protocol = row.string(5);
    out.address = row.string(6);
    out.certificate = row.string(7);
    out.project = row.string(8);
    out.method = row.string(9);
    out.path = row.string(10);
    out.http_status = static_cast<int>(row.integer(11));
    out.result = row.string(12);
    out.error = row.string(13);
    out.operation = row.string(14);
    out.description = row.string(15);
    return out;
}

}  // namespace

struct History::Impl {
    Connection& connection;
    std::size_t added = kAddedBetweenPrunings;  ///< since the last pruning; the first add() prunes

    Result<> keep_newest(bool known, std::int64_t count) {
        return connection.execute(
            "DELETE FROM history WHERE known=? AND id <= "
            "(SELECT id FROM history WHERE known=? ORDER BY id DESC LIMIT 1 OFFSET ?)",
            known, known, count);
    }

    Result<> prune() {
        LX_TRY(keep_newest(true, kKnownKept));
        LX_TRY(keep_newest(false, kStrangersKept));
        // A part of them each time: pruning must not hold off the others for long.
        return connection.execute(
            "DELETE FROM history WHERE created_at < ? AND id IN (SELECT id FROM history ORDER BY id LIMIT "
            "2000)",
            oldest_kept());
    }

    Result<> insert(const HistoryRecord& record) {
        return connection.execute(
            "INSERT INTO history (created_at, ended_at, known, username, protocol, address, certificate, "
            "project, method, path, http_status, result, error, operation, description) "
            "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            record.created_at, record.ended_at, record.known, record.username, record.protocol,
            record.address, record.certificate, record.project, record.method, record.path,
            record.http_status, record.result, record.error, record.operation, record.description);
    }
};

History::History(Connection& connection) : impl_(std::make_unique<Impl>(Impl{connection})) {}
History::~History() = default;

Result<> History::load() {
    auto& db = impl_->connection;
    bool any = false;
    {
        LX_TRY_AS(auto row, db.prepare("SELECT 1 FROM history WHERE result='running' LIMIT 1"));
        LX_TRY_AS(any, row.step());
    }
    if (!any) return {};
    return db.write(Durability::normal, [&] {
        return db.execute("UPDATE history SET result='interrupted' WHERE result='running'");
    });
}

Result<> History::add(const std::vector<HistoryRecord>& records, const std::vector<HistoryEnd>& ends) {
    auto& db = impl_->connection;
    return db.write(Durability::normal, [&]() -> Result<> {
        for (const auto& record : records) LX_TRY(impl_->insert(record));
        for (const auto& end : ends) {
            LX_TRY(
                db.execute("UPDATE history SET result=?, error=?, ended_at=? "
                           "WHERE result='running' AND operation=?",
                           end.result, end.error, end.ended_at, end.operation));
        }
        impl_->added += records.size();
        if (impl_->added < kAddedBetweenPrunings) return {};
        impl_->added = 0;
        return impl_->prune();
    });
}

Result<std::vector<HistoryRecord>> History::read(std::int64_t before, std::size_t count) const {
    const auto guard = impl_->connection.lock();
    LX_TRY_AS(auto rows, impl_->connection.prepare(
                             "SELECT id, created_at, ended_at, known, username, protocol, address, "
                             "certificate, project, method, path, http_status, result, error, operation, "
                             "description FROM history WHERE id < ? ORDER BY id DESC LIMIT ?"));
    rows.bind(before);
    rows.bind(static_cast<std::int64_t>(count));
    std::vector<HistoryRecord> out;
    while (true) {
        LX_TRY_AS(const bool more, rows.step());
        if (!more) return out;
        auto record = read_history(rows);
        if (record.created_at >= oldest_kept()) out.push_back(std::move(record));
    }
}

}  // namespace lxmgr::database
