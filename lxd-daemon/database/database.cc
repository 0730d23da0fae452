#include "lxd-daemon/database/database.h"

#include "lxd-daemon/database/connection.h"

namespace lxmgr::database {

struct Database::Impl {
    explicit Impl(std::unique_ptr<Connection> opened) : connection(std::move(opened)) {}

    // One transaction: all tables become visible together, and the only one who writes to disk is a first
    // start.
    Result<> load() {
        return connection->transaction([this]() -> Result<> {
            LX_TRY(server_config.load());
            LX_TRY(projects.load());
            LX_TRY(profiles.load());
            LX_TRY(instances.load());
            LX_TRY(snapshots.load());
            LX_TRY(images.load());
            LX_TRY(metadata_sets.collect());
            LX_TRY(pools.load());
            LX_TRY(volumes.load());
            LX_TRY(backups.load());
            LX_TRY(certificates.load());
            LX_TRY(network_objects.load());
            LX_TRY(history.load());
            return networks.load();
        });
    }

    std::unique_ptr<Connection> connection;
    Instances instances{*connection};
    Snapshots snapshots{*connection};
    Projects projects{*connection};
    Profiles profiles{*connection};
    Images images{*connection};
    MetadataSets metadata_sets{*connection};
    Pools pools{*connection};
    Volumes volumes{*connection};
    Backups backups{*connection};
    Certificates certificates{*connection};
    NetworkObjects network_objects{*connection};
    Networks networks{*connection};
    ServerConfig server_config{*connection};
    Warnings warnings{*connection};
    History history{*connection};
    Intents intents{*connection};
};

Database::Database() = default;
Database::~Database() = default;

Result<std::unique_ptr<Database>> Database::open(const std::string& path) {
    LX_TRY_AS(auto connection, Connection::open(path));
    std::unique_ptr<Database> database(new Database);
    database->impl_ = std::make_unique<Impl>(std::move(connection));
    LX_TRY(database->impl_->load());
    return database;
}

Result<> Database::transaction(const std::function<Result<>()>& work) {
    return impl_->connection->transaction(work);
}

Instances& Database::instances() { return impl_->instances; }
Snapshots& Database::snapshots() { return impl_->snapshots; }
Projects& Database::projects() { return impl_->projects; }
Profiles& Database::profiles() { return impl_->profiles; }
Images& Database::images() { return impl_->images; }
MetadataSets& Database::metadata_sets() { return impl_->metadata_sets; }
Pools& Database::pools() { return impl_->pools; }
Volumes& Database::volumes() { return impl_->volumes; }
Backups& Database::backups() { return impl_->backups; }
NetworkObjects& Database::network_objects() { return impl_->network_objects; }
Networks& Database::networks() { return impl_->networks; }
ServerConfig& Database::server_config() { return impl_->server_config; }
Certificates& Database::certificates() { return impl_->certificates; }
Warnings& Database::warnings() { return impl_->warnings; }
History& Database::history() { return impl_->history; }
Intents& Database::intents() { return impl_->intents; }

}  // namespace lxmgr::database
