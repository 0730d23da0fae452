#include "lxd-daemon/database/schema.h"

#include <fmt/format.h>

#include <string_view>

#include "lxd-daemon/database/connection.h"

namespace lxmgr::database {
namespace {

// Maps (config, devices, properties) are JSON text: they are read whole, in memory, and never searched by
// SQL. Times are nanoseconds since the epoch, 0 = never. What refers to a row by id follows its renames.
constexpr const char* kInitial = R"sql(
CREATE TABLE server_config (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE profiles (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    config TEXT NOT NULL,
    devices TEXT NOT NULL
);

CREATE TABLE instances (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    description TEXT NOT NULL,
    architecture TEXT NOT NULL,
    pool TEXT NOT NULL,
    ephemeral INTEGER NOT NULL,
    config TEXT NOT NULL,
    devices TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL
);

CREATE TABLE instance_profiles (
    instance_id INTEGER NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    profile_id INTEGER NOT NULL REFERENCES profiles (id) ON DELETE RESTRICT,
    PRIMARY KEY (instance_id, position),
    UNIQUE (instance_id, profile_id)
) WITHOUT ROWID;
CREATE INDEX instance_profiles_by_profile ON instance_profiles (profile_id);

CREATE TABLE images (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    fingerprint TEXT NOT NULL UNIQUE,
    filename TEXT NOT NULL,
    architecture TEXT NOT NULL,
    type TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    is_public INTEGER NOT NULL,
    auto_update INTEGER NOT NULL,
    cached INTEGER NOT NULL,
    split INTEGER NOT NULL,
    properties TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    uploaded_at INTEGER NOT NULL
);

CREATE TABLE image_profiles (
    image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    profile_id INTEGER NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    PRIMARY KEY (image_id, position),
    UNIQUE (image_id, profile_id)
) WITHOUT ROWID;
CREATE INDEX image_profiles_by_profile ON image_profiles (profile_id);

CREATE TABLE image_aliases (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    description TEXT NOT NULL,
    image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE
);
CREATE INDEX image_aliases_by_image ON image_aliases (image_id);

CREATE TABLE storage_pools (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    driver TEXT NOT NULL,
    description TEXT NOT NULL,
    config TEXT NOT NULL
);

CREATE TABLE networks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    description TEXT NOT NULL,
    config TEXT NOT NULL
);

-- The instance is a name, not a reference: a NIC claims its address before its instance is stored.
CREATE TABLE network_addresses (
    network_id INTEGER NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
    instance TEXT NOT NULL,
    device TEXT NOT NULL,
    hwaddr TEXT NOT NULL,
    ipv4 TEXT NOT NULL,
    ipv6 TEXT NOT NULL,
    is_static INTEGER NOT NULL,
    PRIMARY KEY (network_id, instance, device)
) WITHOUT ROWID;
CREATE UNIQUE INDEX network_addresses_ipv4 ON network_addresses (network_id, ipv4) WHERE ipv4 <> '';
CREATE UNIQUE INDEX network_addresses_ipv6 ON network_addresses (network_id, ipv6) WHERE ipv6 <> '';

CREATE TABLE intents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    details TEXT NOT NULL
);

CREATE TABLE warnings (
    uuid TEXT PRIMARY KEY,
    type TEXT NOT NULL,
    entity_url TEXT NOT NULL,
    project TEXT NOT NULL,
    last_message TEXT NOT NULL,
    severity INTEGER NOT NULL,
    status INTEGER NOT NULL,
    count INTEGER NOT NULL,
    first_seen_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL
) WITHOUT ROWID;
)sql";

// A set is never changed: images, and the instances made from them, share it until one of them gets another.
constexpr const char* kMetadataSets = R"sql(
CREATE TABLE metadata_sets (id INTEGER PRIMARY KEY AUTOINCREMENT, content TEXT NOT NULL);
ALTER TABLE images ADD COLUMN metadata_id INTEGER REFERENCES metadata_sets (id);
ALTER TABLE instances ADD COLUMN metadata_id INTEGER REFERENCES metadata_sets (id);
CREATE INDEX images_by_metadata ON images (metadata_id);
CREATE INDEX instances_by_metadata ON instances (metadata_id);
)sql";

constexpr const char* kSnapshots = R"sql(
CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    instance_id INTEGER NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    volume TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    architecture TEXT NOT NULL,
    ephemeral INTEGER NOT NULL,
    config TEXT NOT NULL,
    devices TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    UNIQUE (instance_id, name)
);

-- A profile may be deleted while only snapshots name it: what is restored then goes without.
CREATE TABLE snapshot_profiles (
    snapshot_id INTEGER NOT NULL REFERENCES snapshots (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    profile_id INTEGER NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    PRIMARY KEY (snapshot_id, position),
    UNIQUE (snapshot_id, profile_id)
) WITHOUT ROWID;
CREATE INDEX snapshot_profiles_by_profile ON snapshot_profiles (profile_id);
)sql";

// The pool is a name, as it is in instances: pools are never renamed.
constexpr const char* kVolumes = R"sql(
CREATE TABLE volumes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pool TEXT NOT NULL,
    name TEXT NOT NULL,
    volume TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    config TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (pool, name)
);

CREATE TABLE volume_snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    volume_id INTEGER NOT NULL REFERENCES volumes (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    volume TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    config TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    UNIQUE (volume_id, name)
);
)sql";

constexpr const char* kBackups = R"sql(
CREATE TABLE backups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    instance_id INTEGER REFERENCES instances (id) ON DELETE CASCADE,
    volume_id INTEGER REFERENCES volumes (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    file TEXT NOT NULL UNIQUE,
    without_snapshots INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    UNIQUE (instance_id, name),
    UNIQUE (volume_id, name)
);
)sql";

constexpr const char* kImageSources = R"sql(
CREATE TABLE image_sources (
    image_id INTEGER PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
    server TEXT NOT NULL,
    protocol TEXT NOT NULL,
    certificate TEXT NOT NULL,
    alias TEXT NOT NULL
);
)sql";

constexpr const char* kContentTypes = R"sql(
ALTER TABLE volumes ADD COLUMN content_type TEXT NOT NULL DEFAULT 'filesystem';
)sql";

constexpr const char* kCertificates = R"sql(
CREATE TABLE certificates (
    fingerprint TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    restricted INTEGER NOT NULL,
    projects TEXT NOT NULL,
    pem TEXT NOT NULL,
    added_at INTEGER NOT NULL
) WITHOUT ROWID;
)sql";

// The content is JSON, of another shape for each kind.
constexpr const char* kNetworkObjects = R"sql(
CREATE TABLE network_objects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    network_id INTEGER REFERENCES networks (id) ON DELETE CASCADE,
    parent_id INTEGER REFERENCES network_objects (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    content TEXT NOT NULL,
    UNIQUE (kind, network_id, parent_id, name)
);
)sql";

// An object's project is part of its name; an image may be in several.
constexpr const char* kProjects = R"sql(
CREATE TABLE projects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    config TEXT NOT NULL
);
ALTER TABLE images ADD COLUMN projects TEXT NOT NULL DEFAULT 'default';
)sql";

// "running" is what few rows are, and what is searched for when an operation ends.
constexpr const char* kHistory = R"sql(
CREATE TABLE history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    known INTEGER NOT NULL,
    username TEXT NOT NULL,
    protocol TEXT NOT NULL,
    address TEXT NOT NULL,
    certificate TEXT NOT NULL,
    project TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    http_status INTEGER NOT NULL,
    result TEXT NOT NULL,
    error TEXT NOT NULL,
    operation TEXT NOT NULL,
    description TEXT NOT NULL
);
CREATE INDEX history_by_known ON history (known);
CREATE INDEX history_running ON history (operation) WHERE result='running';
)sql";

constexpr const char* kBackupForms = R"sql(
ALTER TABLE backups ADD COLUMN optimized INTEGER NOT NULL DEFAULT 0;
)sql";

constexpr Migration kMigrations[] = {
    {1, "initial schema", kInitial},
    {2, "image metadata and templates", kMetadataSets},
    {3, "snapshots", kSnapshots},
    {4, "custom volumes", kVolumes},
    {5, "backups", kBackups},
    {6, "image sources", kImageSources},
    {7, "content types of volumes", kContentTypes},
    {8, "trusted certificates", kCertificates},
    {9, "ACLs, forwards and zones of networks", kNetworkObjects},
    {11, "projects", kProjects},
    {12, "history of requests", kHistory},
    {13, "forms of backups", kBackupForms},
};

constexpr int kApplicationId =
    0x6c786d67;  // "lxmg", so that file(1) and we can tell our database from others

Result<std::int64_t> read_number(Connection& connection, std::string_view sql) {
    LX_TRY_AS(auto statement, connection.prepare(sql));
    LX_TRY(statement.step());
    return statement.integer(0);
}

Result<> run_script(Connection& connection, std::string_view sql) {
    while (!sql.empty()) {
        LX_TRY_AS(const std::size_t used, connection.execute_first(sql));
        sql.remove_prefix(used);
    }
    return {};
}

Result<> apply_migration(Connection& connection, const Migration& migration) {
    return connection.write(Durability::normal, [&]() -> Result<> {
        LX_TRY(run_script(connection, migration.sql));
        LX_TRY(connection.execute(fmt::format("PRAGMA application_id={}", kApplicationId)));
        return connection.execute(fmt::format("PRAGMA user_version={}", migration.version));
    });
}

Result<> check_owner(Connection& connection, const std::string& path) {
    LX_TRY_AS(const auto id, read_number(connection, "PRAGMA application_id"));
    if (id == kApplicationId) return {};
    LX_TRY_AS(const auto tables, read_number(connection, "SELECT count(*) FROM sqlite_schema"));
    if (tables == 0) return {};
    return fail(Status::internal, fmt::format("Database '{}' belongs to another program", path));
}

}  // namespace

std::span<const Migration> migrations() { return kMigrations; }

Result<> migrate(Connection& connection, const std::string& path) {
    LX_TRY(check_owner(connection, path));
    LX_TRY_AS(const auto version, read_number(connection, "PRAGMA user_version"));
    const int newest = migrations().back().version;
    if (version > newest) {
        return fail(
            Status::internal,
            fmt::format("Database '{}' has schema {}, but this program knows only {}: it was written by a "
                        "newer lxmgr, which must be used",
                        path, version, newest));
    }
    for (const Migration& migration : migrations()) {
        if (migration.version <= version) continue;
        if (auto done = apply_migration(connection, migration); !done) {
            return std::unexpected(in(fmt::format("Migrating database '{}' to schema {} ({})", path,
                                                  migration.version, migration.what),
                                      std::move(done).error()));
        }
    }
    return {};
}

}  // namespace lxmgr::database
