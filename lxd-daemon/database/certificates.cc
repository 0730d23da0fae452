#include "lxd-daemon/database/certificates.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/database/connection.h"

namespace lxmgr::database {
namespace {

std::unexpected<Error> no_certificate() { return fail(Status::not_found, "Certificate not found"); }
std::unexpected<Error> is_trusted() { return fail(Status::conflict, "Certificate already in trust store"); }

/// Names of projects hold no commas.
std::string join(const std::vector<std::string>& projects) {
    return fmt::format("{}", fmt::join(projects, ","));
}
std::vector<std::string> split_projects(const std::string& text) {
    return text.empty() ? std::vector<std::string>{} : split(text, ',');
}

}  // namespace

struct Certificates::Impl {
    Connection& connection;
    Table<CertificateRecord>& table;

    Result<CertificatePtr> insert(CertificateRecord record) {
        if (table.find(record.fingerprint)) return is_trusted();
        LX_TRY(connection.execute(
            "INSERT INTO certificates (fingerprint, name, type, restricted, projects, pem, added_at) "
            "VALUES (?,?,?,?,?,?,?)",
            record.fingerprint, record.name, record.type, record.restricted, join(record.projects),
            record.pem, record.added_at));
        const std::string key = record.fingerprint;
        return table.put(key, std::move(record));
    }
    Result<> erase(const std::string& fingerprint) {
        if (!table.find(fingerprint)) return no_certificate();
        LX_TRY(connection.execute("DELETE FROM certificates WHERE fingerprint=?", fingerprint));
        table.erase(fingerprint);
        return {};
    }
};

Certificates::Certificates(Connection& connection)
    : impl_(std::make_unique<Impl>(Impl{connection, connection.memory.certificates})) {}
Certificates::~Certificates() = default;

Result<> Certificates::load() {
    auto& db = impl_->connection;
    return db.write(Durability::normal, [&]() -> Result<> {
        LX_TRY_AS(auto rows, db.prepare("SELECT fingerprint, name, type, restricted, projects, pem, added_at "
                                        "FROM certificates"));
        while (true) {
            LX_TRY_AS(const bool more, rows.step());
            if (!more) return {};
            impl_->table.put(rows.string(0), {rows.string(0), rows.string(1), rows.string(2), rows.flag(3),
                                              split_projects(rows.string(4)), rows.string(5), rows.time(6)});
        }
    });
}

Result<CertificatePtr> Certificates::create(CertificateRecord record) {
    return impl_->connection.write_record<CertificatePtr>(
        Durability::full, [&]() -> Result<CertificatePtr> { return impl_->insert(std::move(record)); });
}

CertificatePtr Certificates::find(const std::string& fingerprint) const {
    return impl_->table.find(fingerprint);
}

Result<CertificatePtr> Certificates::find_prefix(const std::string& prefix) const {
    if (prefix.empty()) return no_certificate();
    auto found = impl_->table.with_prefix(to_lower(prefix));
    if (found.empty()) return no_certificate();
    if (found.size() > 1) {
        return fail(Status::bad_request,
                    fmt::format("More than one certificate has a fingerprint starting with '{}'", prefix));
    }
    return std::move(found.front());
}

std::vector<CertificatePtr> Certificates::list() const { return impl_->table.list(); }

Result<CertificatePtr> Certificates::update(const std::string& fingerprint, const CertificateRecord& record) {
    return impl_->connection.write_record<CertificatePtr>(Durability::full, [&]() -> Result<CertificatePtr> {
        const auto current = impl_->table.find(fingerprint);
        if (!current) return no_certificate();
        CertificateRecord next = record;
        next.added_at = current->added_at;
        LX_TRY(impl_->erase(fingerprint));
        return impl_->insert(std::move(next));
    });
}

Result<> Certificates::remove(const std::string& fingerprint) {
    return impl_->connection.write(Durability::full, [&] { return impl_->erase(fingerprint); });
}

}  // namespace lxmgr::database
