#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/database/backups.h"
#include "lxd-daemon/database/certificates.h"
#include "lxd-daemon/database/history.h"
#include "lxd-daemon/database/network_objects.h"
#include "lxd-daemon/database/projects.h"
#include "lxd-daemon/database/volumes.h"

/// The daemon's state: sqlite in WAL mode with foreign keys. One repository per entity; each keeps its rows
/// in memory as immutable records, so that reads cost no SQL; a write commits first, then replaces the
/// record. All thread-safe. Durability: `durable` writes commit with synchronous=FULL; volatile ones (power
/// state) survive kill -9 of the daemon but may be lost with the machine's power.
namespace lxmgr::database {

class Connection;

struct InstanceRecord {
    std::int64_t id = 0;
    std::string name;  ///< with its project: api::instance_key()
    std::string type = "container";
    std::string description;
    std::string architecture;
    std::string pool;  ///< storage pool of the root volume, fixed at creation
    bool ephemeral = false;
    api::ConfigMap config;  ///< with volatile.*
    api::DeviceMap devices;
    std::vector<std::string> profiles;  ///< in order
    Time created_at{}, last_used_at{};
    std::int64_t metadata_id = 0;  ///< of MetadataSets; 0: none
};
using InstancePtr = std::shared_ptr<const InstanceRecord>;

/// Changes of single config keys: a value sets, nullopt removes.
using ConfigChanges = std::vector<std::pair<std::string, std::optional<std::string>>>;

class Instances {
public:
    explicit Instances(Connection& connection);
    ~Instances();
    Result<> load();
    /// Errors: `conflict` "Instance 'x' already exists" (the caller words it for the wire).
    Result<InstancePtr> create(InstanceRecord record);
    [[nodiscard]] InstancePtr find(const std::string& name) const;  ///< null when absent
    [[nodiscard]] std::vector<InstancePtr> list() const;            ///< by name
    /// Replaces all but id, name, created_at and metadata_id. `not_found` when it is gone.
    Result<InstancePtr> update(const InstanceRecord& record);
    /// Changes single config keys against the current record; `durable` as above.
    Result<InstancePtr> change_config(const std::string& name, const ConfigChanges& changes, bool durable,
                                      std::optional<Time> last_used_at = std::nullopt);
    Result<InstancePtr> rename(const std::string& name, const std::string& new_name);
    Result<InstancePtr> set_metadata(const std::string& name, std::int64_t metadata_id);
    Result<> remove(const std::string& name);  ///< its snapshots go with it
    /// Grows with every change of any instance: lets readers keep derived data.
    [[nodiscard]] std::uint64_t generation() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// A snapshot belongs to its instance by id, so renames of the instance do not touch it, and it goes with it.
struct SnapshotRecord {
    std::int64_t id = 0, instance_id = 0;
    std::string name;
    std::string
        volume;  ///< name of its volume in the instance's pool: an id, so renames do not touch that either
    std::string description, architecture;
    bool ephemeral = false;
    api::ConfigMap config;
    api::DeviceMap devices;
    std::vector<std::string> profiles;  ///< in order; those deleted since are gone from here too
    std::int64_t size_bytes = -1;       ///< what it holds by itself; -1: unknown
    Time created_at{}, last_used_at{}, expires_at{};
};
using SnapshotPtr = std::shared_ptr<const SnapshotRecord>;

class Snapshots {
public:
    explicit Snapshots(Connection& connection);
    ~Snapshots();
    Result<> load();
    /// Errors: `conflict` when the instance has one of that name.
    Result<SnapshotPtr> create(SnapshotRecord record);
    [[nodiscard]] SnapshotPtr find(std::int64_t instance_id, const std::string& name) const;
    [[nodiscard]] std::vector<SnapshotPtr> list(std::int64_t instance_id) const;  ///< oldest first
    [[nodiscard]] std::vector<SnapshotPtr> list_all() const;
    /// Replaces volume, devices and expires_at, which is all that can change. `not_found` when it is gone.
    Result<SnapshotPtr> update(const SnapshotRecord& record);
    Result<SnapshotPtr> rename(std::int64_t instance_id, const std::string& name,
                               const std::string& new_name);
    Result<> remove(std::int64_t instance_id, const std::string& name);
    [[nodiscard]] std::uint64_t generation() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

struct ProfileRecord {
    std::int64_t id = 0;
    std::string name;  ///< with its project: api::object_key()
    std::string description;
    api::ConfigMap config;
    api::DeviceMap devices;
};
using ProfilePtr = std::shared_ptr<const ProfileRecord>;

class Profiles {
public:
    explicit Profiles(Connection& connection);
    ~Profiles();
    Result<> load();  ///< also makes the profile "default" when it is missing
    Result<ProfilePtr> create(ProfileRecord record);
    [[nodiscard]] ProfilePtr find(const std::string& name) const;
    [[nodiscard]] std::vector<ProfilePtr> list() const;
    Result<ProfilePtr> update(const ProfileRecord& record);
    Result<ProfilePtr> rename(const std::string& name, const std::string& new_name);  ///< instances follow
    Result<> remove(const std::string& name);
    [[nodiscard]] std::uint64_t generation() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// Where an image was fetched from.
struct ImageSource {
    std::string server, protocol, certificate, alias;  ///< alias: the name that was asked for
    bool operator==(const ImageSource&) const = default;
};
struct ImageRecord {
    std::int64_t id = 0;
    std::string fingerprint, filename, architecture, type = "container";
    std::uint64_t size_bytes = 0;
    bool is_public = false, auto_update = false, cached = false;
    api::ConfigMap properties;
    std::vector<std::string> profiles{"default"};
    Time created_at{}, expires_at{}, last_used_at{}, uploaded_at{};
    std::optional<ImageSource> source;             ///< none: it was uploaded, or made here
    bool split = false;                            ///< has a separate rootfs file
    std::int64_t metadata_id = 0;                  ///< of MetadataSets; 0: none
    std::vector<std::string> projects{"default"};  ///< that have it; its files and properties are one
};
using ImagePtr = std::shared_ptr<const ImageRecord>;
bool is_visible(const ImageRecord& image, const std::string& project);
struct AliasRecord {
    std::int64_t id = 0;
    std::string name;  ///< with its project: api::alias_key()
    std::string description, target, type = "container";
};
using AliasPtr = std::shared_ptr<const AliasRecord>;

class Images {
public:
    explicit Images(Connection& connection);
    ~Images();
    Result<> load();
    Result<ImagePtr> create(ImageRecord record);
    [[nodiscard]] ImagePtr find(const std::string& fingerprint) const;  ///< exact
    /// One of the project by unique prefix. `not_found` "Image not found"; `bad_request` when several match.
    [[nodiscard]] Result<ImagePtr> find_prefix(const std::string& prefix,
                                               const std::string& project = "default") const;
    [[nodiscard]] std::vector<ImagePtr> list() const;
    Result<ImagePtr> update(const ImageRecord& record);
    Result<> remove(const std::string& fingerprint);  ///< its aliases go with it
    Result<ImagePtr> add_project(const std::string& fingerprint, const std::string& project);
    /// The image stays in others; the project's aliases of it go.
    Result<ImagePtr> leave_project(const std::string& fingerprint, const std::string& project);
    /// Not durable by itself.
    Result<> note_use(const std::string& fingerprint, Time last_used_at);

    Result<AliasPtr> create_alias(AliasRecord record);
    [[nodiscard]] AliasPtr find_alias(const std::string& name) const;
    [[nodiscard]] std::vector<AliasPtr> list_aliases() const;
    Result<AliasPtr> update_alias(const AliasRecord& record);  ///< by id; name may change
    Result<> remove_alias(const std::string& name);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

struct PoolRecord {
    std::int64_t id = 0;
    std::string name, driver, description;
    api::ConfigMap config;
};
using PoolPtr = std::shared_ptr<const PoolRecord>;

class Pools {
public:
    explicit Pools(Connection& connection);
    ~Pools();
    Result<> load();
    Result<PoolPtr> create(PoolRecord record);
    [[nodiscard]] PoolPtr find(const std::string& name) const;
    [[nodiscard]] std::vector<PoolPtr> list() const;
    Result<PoolPtr> update(const PoolRecord& record);
    Result<> remove(const std::string& name);  ///< `bad_request` while instances stand in it

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

struct NetworkRecord {
    std::int64_t id = 0;
    std::string name, description, type = "bridge";
    api::ConfigMap config;
};
using NetworkPtr = std::shared_ptr<const NetworkRecord>;
/// An address that a NIC of an instance holds on a network for life.
struct AddressRecord {
    std::string network, instance, device, hwaddr, ipv4, ipv6;
    bool is_static = false;
};

class Networks {
public:
    explicit Networks(Connection& connection);
    ~Networks();
    Result<> load();
    Result<NetworkPtr> create(NetworkRecord record);
    [[nodiscard]] NetworkPtr find(const std::string& name) const;
    [[nodiscard]] std::vector<NetworkPtr> list() const;
    Result<NetworkPtr> update(const NetworkRecord& record);
    Result<> rename(const std::string& name, const std::string& new_name);
    Result<> remove(const std::string& name);

    [[nodiscard]] std::vector<AddressRecord> addresses(const std::string& network) const;
    [[nodiscard]] std::vector<AddressRecord> addresses_of(const std::string& instance) const;
    /// Inserts or replaces the claim of (network, instance, device). `conflict` when another NIC holds the
    /// address.
    Result<> claim(const AddressRecord& record);
    Result<> release(const std::string& network, const std::string& instance, const std::string& device);
    Result<> release_all(const std::string& instance);
    Result<> rename_instance(const std::string& instance, const std::string& new_name);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// What metadata.yaml and templates/ of an image say, as text that its users encode. A set is never changed:
/// images and instances that have the same share it. Stays on disk.
class MetadataSets {
public:
    explicit MetadataSets(Connection& connection);
    ~MetadataSets();
    /// Belongs in the transaction that stores its first user.
    Result<std::int64_t> add(const std::string& content);
    /// `not_found` when there is none of that id.
    Result<std::string> find(std::int64_t id) const;
    /// Removes the sets that nobody uses. At daemon start.
    Result<> collect();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// Server configuration and small facts (server name, uuid).
class ServerConfig {
public:
    explicit ServerConfig(Connection& connection);
    ~ServerConfig();
    Result<> load();
    [[nodiscard]] api::ConfigMap all() const;
    Result<> replace(const api::ConfigMap& config);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

struct WarningRecord {
    std::string uuid, type, entity_url, project = "default", last_message;
    int severity = 2;  ///< 1 low, 2 moderate, 3 high
    int status = 1;    ///< 1 new, 2 acknowledged, 3 resolved
    int count = 1;
    Time first_seen_at{}, last_seen_at{};
};
class Warnings {
public:
    explicit Warnings(Connection& connection);
    ~Warnings();
    /// A new warning, or one more count of the unresolved one of the same type and entity.
    Result<> raise(const std::string& type, int severity, const std::string& entity_url,
                   const std::string& message);
    Result<> resolve(const std::string& type, const std::string& entity_url);
    Result<std::vector<WarningRecord>> list() const;
    Result<> set_status(const std::string& uuid, int status);
    Result<> remove(const std::string& uuid);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// Work that spans the database and the disk or kernel, written down before it starts and taken away in the
/// transaction that ends it: what is still here at daemon start was interrupted and is undone.
struct IntentRecord {
    std::int64_t id = 0;
    std::string kind;        ///< "create-instance", "delete-instance", "rename-instance", "import-image", ...
    api::ConfigMap details;  ///< "pool", "name", ...
};
class Intents {
public:
    explicit Intents(Connection& connection);
    ~Intents();
    /// `durable`: survives a power cut too, at the price of a sync (5 ms on a slow disk); what is not,
    /// survives kill -9.
    Result<std::int64_t> add(const std::string& kind, const api::ConfigMap& details, bool durable = true);
    /// Not synced by itself: a power cut may bring the intent back, so that undoing finished work must do no
    /// harm.
    Result<> remove(std::int64_t id);
    Result<std::vector<IntentRecord>> list() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// All of it. Opening applies the numbered migrations; a database newer than this program is a clear error.
class Database {
public:
    /// @param path STATE/database/lxmgr.db; its directory exists.
    static Result<std::unique_ptr<Database>> open(const std::string& path);
    ~Database();
    /// Work that must be one transaction over several repositories; rolls back when it fails. Holds off all
    /// other writers meanwhile, so that what it reads fits together. Always durable. Must be short: no disk
    /// or kernel work.
    Result<> transaction(const std::function<Result<>()>& work);

    Instances& instances();
    Snapshots& snapshots();
    Projects& projects();
    Profiles& profiles();
    Images& images();
    MetadataSets& metadata_sets();
    Pools& pools();
    Volumes& volumes();
    Backups& backups();
    Networks& networks();
    NetworkObjects& network_objects();
    ServerConfig& server_config();
    Certificates& certificates();
    Warnings& warnings();
    History& history();
    Intents& intents();

private:
    Database();
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace lxmgr::database
