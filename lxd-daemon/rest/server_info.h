#pragma once
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/auth/certificate.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/database/database.h"

namespace lxmgr::rest {

/// What GET /1.0 shows. The text is kept and built anew only when the config or the pools have changed.
/// Thread-safe.
class ServerInfo {
public:
    /// Asks the kernel and /etc/os-release once. The database outlives this.
    explicit ServerInfo(database::Database& database);

    /// Complete bodies of the answer, for each kind of caller.
    struct View {
        std::string envelope;    ///< administrators
        std::string restricted;  ///< clients that are held to projects: without the server's config
        std::string untrusted;   ///< all others: what a client needs to become trusted
        std::string etag;
    };
    /// @param addresses  where clients elsewhere find this server, "IP:PORT"
    [[nodiscard]] std::shared_ptr<const View> view(std::vector<std::string> addresses = {}) const;
    /// As clients see it: secrets read "true".
    [[nodiscard]] api::ConfigMap config() const;
    /// Of core.trust_password; empty: there is none.
    [[nodiscard]] std::string password_hash() const;
    /// core.metrics_authentication is off.
    [[nodiscard]] bool metrics_are_open() const;
    /// The server's certificate as it is shown.
    void set_certificate(const auth::Certificate& certificate);
    /// What is to be stored for a config that a client sends: valid, with secrets hashed, or kept where they
    /// read "true". Blocking. Errors: `bad_request`.
    [[nodiscard]] Result<api::ConfigMap> prepare_config(api::ConfigMap config) const;
    /// As it is stored.
    [[nodiscard]] api::ConfigMap stored_config() const;
    /// Stores what prepare_config() gave. Blocking.
    Result<> store_config(const api::ConfigMap& prepared);

private:
    database::Database& database_;
    nlohmann::json environment_;  ///< what never changes while the daemon runs
    struct Cache {
        api::ConfigMap config;
        std::vector<database::PoolPtr> pools;
        std::vector<std::string> addresses;
        std::shared_ptr<const View> view;
    };
    mutable std::mutex mutex_;
    mutable Cache cache_;
};

/// API extensions that this daemon serves, see api_extensions.cc.
const std::vector<std::string>& api_extensions();

}  // namespace lxmgr::rest
