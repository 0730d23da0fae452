#pragma once
#include <memory>
#include <string>
#include <vector>

#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::database {

class Connection;

/// A trusted certificate.
struct CertificateRecord {
    std::string fingerprint;  ///< lower-case hex SHA-256, all 64 digits
    std::string name;
    std::string type = "client";  ///< or "metrics"
    bool restricted = false;
    std::vector<std::string> projects;
    std::string pem;
    Time added_at{};
};
using CertificatePtr = std::shared_ptr<const CertificateRecord>;

/// The trust store. Kept in memory as all repositories do (database.h).
class Certificates {
public:
    explicit Certificates(Connection& connection);
    ~Certificates();
    Result<> load();
    /// Errors: `conflict` when it is trusted already.
    Result<CertificatePtr> create(CertificateRecord record);
    [[nodiscard]] CertificatePtr find(
        const std::string& fingerprint) const;  ///< the whole one; null when absent
    /// By a unique beginning. Errors: `not_found`, and `bad_request` when several begin so.
    Result<CertificatePtr> find_prefix(const std::string& prefix) const;
    [[nodiscard]] std::vector<CertificatePtr> list() const;  ///< by fingerprint
    /// Replaces what `fingerprint` names, its certificate too when that differs. Errors: `not_found`;
    /// `conflict` when the new one is trusted already.
    Result<CertificatePtr> update(const std::string& fingerprint, const CertificateRecord& record);
    Result<> remove(const std::string& fingerprint);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace lxmgr::database
