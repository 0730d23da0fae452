#include "lxd-daemon/database/connection.h"

namespace lxmgr::database {

struct ServerConfig::Impl {
    Connection& connection;
};

ServerConfig::ServerConfig(Connection& connection) : impl_(std::make_unique<Impl>(Impl{connection})) {}
ServerConfig::~ServerConfig() = default;

Result<> ServerConfig::load() {
    auto& db = impl_->connection;
    return db.write(Durability::normal, [&]() -> Result<> {
        api::ConfigMap config;
        LX_TRY_AS(auto rows, db.prepare("SELECT key, value FROM server_config"));
        while (true) {
            LX_TRY_AS(const bool more, rows.step());
            if (!more) break;
            config[rows.string(0)] = rows.string(1);
        }
        db.memory.server_config.put("", std::move(config));
        return {};
    });
}

api::ConfigMap ServerConfig::all() const {
    const auto config = impl_->connection.memory.server_config.find("");
    return config ? *config : api::ConfigMap{};
}

Result<> ServerConfig::replace(const api::ConfigMap& config) {
    auto& db = impl_->connection;
    return db.write(Durability::full, [&]() -> Result<> {
        LX_TRY(db.execute("DELETE FROM server_config"));
        for (const auto& [key, value] : config) {
            LX_TRY(db.execute("INSERT INTO server_config (key, value) VALUES (?,?)", key, value));
        }
        db.memory.server_config.put("", config);
        return {};
    });
}

}  // namespace lxmgr::database
