#include <fmt/format.h>

#include "lxd-daemon/database/codec.h"
#include "lxd-daemon/database/connection.h"

namespace lxmgr::database {

/// Read at daemon start only: stays in SQL.
struct Intents::Impl {
    Connection& connection;
};

Intents::Intents(Connection& connection) : impl_(std::make_unique<Impl>(Impl{connection})) {}
Intents::~Intents() = default;

Result<std::int64_t> Intents::add(const std::string& kind, const api::ConfigMap& details, bool durable) {
    auto& db = impl_->connection;
    return db.write_record<std::int64_t>(
        durable ? Durability::full : Durability::normal, [&]() -> Result<std::int64_t> {
            LX_TRY(db.execute("INSERT INTO intents (kind, details) VALUES (?,?)", kind, encode(details)));
            return db.last_insert_id();
        });
}

Result<> Intents::remove(std::int64_t id) {
    auto& db = impl_->connection;
    // Not synced: when a power cut brings it back, the clean-up that it asks for finds nothing to do.
    return db.write(Durability::normal, [&] { return db.execute("DELETE FROM intents WHERE id=?", id); });
}

Result<std::vector<IntentRecord>> Intents::list() const {
    const auto guard = impl_->connection.lock();
    std::vector<IntentRecord> out;
    LX_TRY_AS(auto rows, impl_->connection.prepare("SELECT id, kind, details FROM intents ORDER BY id"));
    while (true) {
        LX_TRY_AS(const bool more, rows.step());
        if (!more) return out;
        IntentRecord record{rows.integer(0), rows.string(1), {}};
        LX_TRY_AS(record.details, decode_config(rows.text(2), fmt::format("intent {}", record.id)));
        out.push_back(std::move(record));
    }
}

}  // namespace lxmgr::database
