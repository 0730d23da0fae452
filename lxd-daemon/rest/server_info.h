#pragma once
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/database/database.h"

namespace lxmgr::rest {

/// What GET /1.0 shows. The text is kept and built anew only when the config or the pools have changed.
/// Thread-safe.
class ServerInfo {
public:
    /// Asks the kernel and /etc/os-release once. The database outlives this.
    explicit ServerInfo(database::Database& database);

    struct View {
        std::string envelope;  ///< complete body of the answer
        std::string etag;
    };
    [[nodiscard]] std::shared_ptr<const View> view() const;
    [[nodiscard]] api::ConfigMap config() const;
    /// Validates and stores the whole server config. Blocking. Errors: `bad_request`.
    Result<> replace_config(const api::ConfigMap& config);

private:
    database::Database& database_;
    nlohmann::json environment_;  ///< what never changes while the daemon runs
    struct Cache {
        api::ConfigMap config;
        std::vector<database::PoolPtr> pools;
        std::shared_ptr<const View> view;
    };
    mutable std::mutex mutex_;
    mutable Cache cache_;
};

/// API extensions that this daemon serves, see api_extensions.cc.
const std::vector<std::string>& api_extensions();

}  // namespace lxmgr::rest
