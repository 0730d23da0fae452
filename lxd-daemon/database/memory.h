#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

#include "lxd-daemon/database/database.h"

/// Private to the room: the records in memory. What a transaction changes is staged: its own thread sees it
/// at once, all others when the transaction has been committed, all tables together.
namespace lxmgr::database {

/// Shared by all tables of one database.
struct Visibility {
    mutable std::shared_mutex mutex;        ///< guards the committed rows of every table
    std::atomic<std::thread::id> writer{};  ///< thread inside a transaction; default id: none
    [[nodiscard]] bool is_writer() const { return writer.load() == std::this_thread::get_id(); }
};

template <typename Record>
class Table {
public:
    using Ptr = std::shared_ptr<const Record>;
    explicit Table(const Visibility& visibility) : visibility_(visibility) {}

    [[nodiscard]] Ptr find(const std::string& key) const {
        if (visibility_.is_writer()) {
            if (const auto it = staged_.find(key); it != staged_.end()) return it->second;
        }
        const std::shared_lock lock(visibility_.mutex);
        const auto it = rows_.find(key);
        return it == rows_.end() ? nullptr : it->second;
    }

    /// All rows for which `wanted(record)` holds, by key.
    template <typename Predicate>
    [[nodiscard]] std::vector<Ptr> select(Predicate wanted) const {
        if (visibility_.is_writer() && !staged_.empty()) return select_with_staged(wanted);
        std::vector<Ptr> out;
        const std::shared_lock lock(visibility_.mutex);
        for (const auto& [key, row] : rows_) {
            if (wanted(*row)) out.push_back(row);
        }
        return out;
    }
    [[nodiscard]] std::vector<Ptr> list() const {
        return select([](const Record&) { return true; });
    }

    /// All rows whose key begins with `prefix`, by key.
    [[nodiscard]] std::vector<Ptr> with_prefix(const std::string& prefix) const {
        std::map<std::string, Ptr> found;
        const auto collect = [&](const std::map<std::string, Ptr>& from) {
            for (auto it = from.lower_bound(prefix); it != from.end() && it->first.starts_with(prefix); ++it)
                found[it->first] = it->second;
        };
        {
            const std::shared_lock lock(visibility_.mutex);
            collect(rows_);
        }
        if (visibility_.is_writer()) collect(staged_);
        std::vector<Ptr> out;
        for (auto& [key, row] : found) {
            if (row) out.push_back(std::move(row));
        }
        return out;
    }

    /// The two writes: only inside a transaction, after its SQL succeeded.
    Ptr put(const std::string& key, Record record) {
        auto row = std::make_shared<const Record>(std::move(record));
        staged_[key] = row;
        return row;
    }
    void erase(const std::string& key) { staged_[key] = nullptr; }

    /// By Connection: under the exclusive lock of `visibility` (publish), or after a rollback (discard).
    void publish() {
        if (staged_.empty()) return;
        for (auto& [key, row] : staged_) {
            if (row) {
                rows_[key] = std::move(row);
            } else {
                rows_.erase(key);
            }
        }
        staged_.clear();
        generation_.fetch_add(1);
    }
    void discard() { staged_.clear(); }
    [[nodiscard]] std::uint64_t generation() const { return generation_.load(); }

private:
    template <typename Predicate>
    std::vector<Ptr> select_with_staged(Predicate wanted) const {
        std::map<std::string, Ptr> all;
        {
            const std::shared_lock lock(visibility_.mutex);
            all = rows_;
        }
        for (const auto& [key, row] : staged_) all[key] = row;
        std::vector<Ptr> out;
        for (const auto& [key, row] : all) {
            if (row && wanted(*row)) out.push_back(row);
        }
        return out;
    }

    const Visibility& visibility_;
    std::map<std::string, Ptr> rows_;
    std::map<std::string, Ptr> staged_;  ///< null: erased. Touched by the writing thread only.
    std::atomic<std::uint64_t> generation_{1};
};

/// Snapshots of one instance stand together.
std::string snapshot_prefix(std::int64_t instance_id);
std::string snapshot_key(const SnapshotRecord& record);

/// Backups of one instance or volume stand together; the other id is 0.
std::string backup_prefix(std::int64_t instance_id, std::int64_t volume_id);

struct Memory {
    /// Of a new object: its project may have gone meanwhile. Errors: `not_found`.
    [[nodiscard]] Result<> require_project(const std::string& project) const;

    Visibility visibility;
    Table<InstanceRecord> instances{visibility};
    Table<SnapshotRecord> snapshots{visibility};  ///< by snapshot_key()
    Table<ProjectRecord> projects{visibility};
    Table<ProfileRecord> profiles{visibility};
    Table<ImageRecord> images{visibility};
    Table<AliasRecord> aliases{visibility};
    Table<PoolRecord> pools{visibility};
    Table<VolumeRecord> volumes{visibility};                   ///< by "POOL/NAME"
    Table<VolumeSnapshotRecord> volume_snapshots{visibility};  ///< by "VOLUME-ID/NAME"
    Table<BackupRecord> backups{visibility};                   ///< by backup_prefix() and name
    Table<CertificateRecord> certificates{visibility};
    Table<NetworkRecord> networks{visibility};
    Table<AddressRecord> addresses{visibility};
    Table<NetworkObjectRecord> network_objects{visibility};  ///< by "KIND/OWNER-ID/NAME"
    Table<api::ConfigMap> server_config{visibility};         ///< one row, key ""

    void publish() {
        const std::unique_lock lock(visibility.mutex);
        for_each([](auto& table) { table.publish(); });
    }
    void discard() {
        for_each([](auto& table) { table.discard(); });
    }

private:
    template <typename Action>
    void for_each(Action action) {
        action(instances);
        action(snapshots);
        action(projects);
        action(profiles);
        action(images);
        action(aliases);
        action(pools);
        action(volumes);
        action(volume_snapshots);
        action(backups);
        action(certificates);
        action(networks);
        action(addresses);
        action(network_objects);
        action(server_config);
    }
};

}  // namespace lxmgr::database
