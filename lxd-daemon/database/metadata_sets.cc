#include <fmt/format.h>

#include "lxd-daemon/database/connection.h"

namespace lxmgr::database {

struct MetadataSets::Impl {
    Connection& connection;
};

MetadataSets::MetadataSets(Connection& connection) : impl_(std::make_unique<Impl>(Impl{connection})) {}
MetadataSets::~MetadataSets() = default;

Result<std::int64_t> MetadataSets::add(const std::string& content) {
    auto& db = impl_->connection;
    return db.write_record<std::int64_t>(Durability::full, [&]() -> Result<std::int64_t> {
        LX_TRY(db.execute("INSERT INTO metadata_sets (content) VALUES (?)", content));
        return db.last_insert_id();
    });
}

Result<std::string> MetadataSets::find(std::int64_t id) const {
    const auto guard = impl_->connection.lock();
    LX_TRY_AS(auto rows, impl_->connection.prepare("SELECT content FROM metadata_sets WHERE id=?"));
    rows.bind(id);
    LX_TRY_AS(const bool found, rows.step());
    if (!found) return fail(Status::not_found, fmt::format("Image metadata {} not found", id));
    return rows.string(0);
}

Result<> MetadataSets::collect() {
    auto& db = impl_->connection;
    return db.write(Durability::normal, [&] {
        return db.execute(
            "DELETE FROM metadata_sets WHERE id NOT IN (SELECT metadata_id FROM images WHERE metadata_id IS "
            "NOT "
            "NULL UNION SELECT metadata_id FROM instances WHERE metadata_id IS NOT NULL)");
    });
}

}  // namespace lxmgr::database
