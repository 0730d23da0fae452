#include "lxd-daemon/instances/pools.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/kept_files/kept_files.h"
#include "lxd-daemon/instances/pool_foundation.h"
#include "lxd-daemon/instances/pool_keys.h"
#include "lxd-daemon/instances/volume_size.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

/// True when a device map has a disk on the pool.
bool uses_pool(const api::DeviceMap& devices, const std::string& pool) {
    return std::ranges::any_of(devices, [&](const auto& device) {
        const auto& keys = device.second;
        const auto type = keys.find("type");
        const auto named = keys.find("pool");
        return type != keys.end() && type->second == "disk" && named != keys.end() && named->second == pool;
    });
}

/// Pool names become directory names: LXD's rule is a host-name-like word.
Result<> validate_pool_name(const std::string& name) {
    const bool plain = !name.empty() && name.size() <= 63 && std::ranges::all_of(name, [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
    });
    if (plain && name.front() != '.' && name.front() != '-') return {};
    return fail(
        Status::bad_request,
        fmt::format("Invalid storage pool name '{}': use 1 to 63 letters, digits, '-', '_' and '.'", name));
}

std::unexpected<Error> pool_in_use() {
    return fail(Status::bad_request, "The storage pool is currently in use");
}

std::string driver_names() {
    std::string names;
    for (const auto& entry : storage::drivers())
        names += fmt::format("{}{}", names.empty() ? "" : ", ", entry.name);
    return names;
}

Result<const storage::DriverEntry*> known_driver(const std::string& name) {
    if (const auto* entry = storage::find_driver(name)) return entry;
    return fail(Status::bad_request,
                fmt::format("Storage driver '{}' is not supported; there are: {}", name, driver_names()));
}

}  // namespace

Result<> Pools::check_volume_config(const std::string& pool, const api::ConfigMap& config) const {
    LX_TRY(profiles::validate_volume_config(config));
    const auto row = database_.pools().find(pool);
    const auto* const entry = row ? storage::find_driver(row->driver) : nullptr;
    return entry == nullptr ? Result<>{} : check_driver_keys(config, *entry);
}

void Pools::drop_foreign_keys(const std::string& pool, api::ConfigMap& config) const {
    const auto row = database_.pools().find(pool);
    const auto* const entry = row ? storage::find_driver(row->driver) : nullptr;
    if (entry == nullptr) return;
    std::erase_if(config, [&](const auto& key) { return is_foreign_volume_key(key.first, *entry); });
}

Pools::Pools(database::Database& database, std::string state_dir)
    : database_(database),
      state_dir_(std::move(state_dir)),
      kept_files_(std::make_unique<KeptFiles>(database_, *this, state_dir_)) {}
Pools::~Pools() = default;

Result<DriverPtr> Pools::open_driver(const database::PoolRecord& record) {
    LX_TRY_AS(const storage::DriverEntry* entry, known_driver(record.driver));
    LX_TRY(validate_pool_config(record.config, *entry));
    LX_TRY_AS(DriverPtr driver, entry->open(config_of(record), idmaps_));
    LX_TRY(driver->open_pool());
    return driver;
}

storage::PoolConfig Pools::config_of(const database::PoolRecord& record) const {
    storage::PoolConfig out{record.name, fmt::format("{}/storage-pools/{}", state_dir_, record.name),
                            record.config};
    if (const auto size = record.config.find("size"); size != record.config.end())
        out.size_bytes = profiles::parse_size(size->second).value_or(0);
    out.metadata_bytes =
        profiles::parse_size(api::value_of(record.config, "lvm.thinpool_metadata_size", "0")).value_or(0);
    out.stripes = stripes_of(volume_defaults(record.config));
    return out;
}

void Pools::open_all() {
    recover_foundations(database_);
    for (const auto& record : database_.pools().list()) {
        auto opened = open_driver(*record);
        if (opened) {
            if (auto recovered = (*opened)->recover(); !recovered) {
                log::error("storage pool not fully recovered",
                           {{"pool", record->name}, {"error", recovered.error().message}});
            }
        } else {
            log::error("storage pool cannot be used",
                       {{"pool", record->name}, {"error", opened.error().message}});
            if (auto raised =
                    database_.warnings().raise("Storage pool unavailable", 3,
                                               "/1.0/storage-pools/" + record->name, opened.error().message);
                !raised) {
                log::error("warning not recorded", {{"error", raised.error().message}});
            }
        }
        const std::unique_lock lock(mutex_);
        drivers_[record->name] = opened ? std::move(*opened) : nullptr;
    }
    kept_files_->open();
}

Result<DriverPtr> Pools::driver(const std::string& pool) const {
    const std::shared_lock lock(mutex_);
    const auto found = drivers_.find(pool);
    if (found == drivers_.end()) return fail(Status::not_found, "Storage pool not found");
    if (!found->second) {
        return fail(Status::unavailable,
                    fmt::format("Storage pool '{}' could not be opened: see the warnings", pool));
    }
    return found->second;
}

Result<database::PoolPtr> Pools::create(database::PoolRecord record) {
    LX_TRY(validate_pool_name(record.name));
    const NamedTurns::Turn turn = turns_.take(record.name);
    if (database_.pools().find(record.name)) {
        return fail(Status::conflict, fmt::format("Storage pool '{}' already exists", record.name));
    }
    LX_TRY_AS(const storage::DriverEntry* entry, known_driver(record.driver));
    LX_TRY(validate_pool_config(record.config, *entry));
    const bool there = profiles::parse_bool(api::value_of(record.config, kRecoverKey));
    record.config.erase(kRecoverKey);  // it is for once
    if (there) return create_from_source(std::move(record));
    // The disk first: what a crash leaves is an empty pool directory, which the same request takes over; what
    // is more than that is named by an intent.
    PoolFoundation foundation(database_, *entry, config_of(record));
    const std::string what = fmt::format("storage pool '{}'", record.name);
    LX_TRY(in_room_for(what, foundation.make()));
    record.config = foundation.config();
    auto opened = open_driver(record);
    if (!opened)
        return std::unexpected(in_room_for(what, std::unexpected(std::move(opened).error())).error());
    DriverPtr driver = *std::move(opened);
    failpoint("instances.pool.create.opened");
    database::PoolPtr row;
    const auto stored = database_.transaction([&]() -> Result<> {
        LX_TRY_AS(row, database_.pools().create(record));
        return foundation.belongs_to_a_row();
    });
    if (!stored) {
        if (auto removed = driver->delete_pool(); !removed) {
            log::warn("pool directory left behind",
                      {{"pool", record.name}, {"error", removed.error().message}});
        }
        return std::unexpected(stored.error());
    }
    foundation.keep();
    failpoint("instances.pool.create.row");
    const std::unique_lock lock(mutex_);
    drivers_[record.name] = std::move(driver);
    return row;
}

Result<database::PoolPtr> Pools::create_from_source(database::PoolRecord record) {
    if (record.config.contains("source.wipe"))
        return fail(Status::bad_request,
                    fmt::format("Storage pool '{}' is either wiped or recovered", record.name));
    LX_TRY_AS(DriverPtr driver, open_lost(record));
    LX_TRY(driver->recover());
    // An unpacked image is worth nothing without its row; what stands on it goes on.
    LX_TRY_AS(const auto images, driver->list_volumes(storage::VolumeType::image));
    for (const auto& image : images) {
        if (!database_.images().find(image))
            LX_TRY(driver->delete_volume({storage::VolumeType::image, image}));
    }
    LX_TRY_AS(auto row, database_.pools().create(record));
    const std::unique_lock lock(mutex_);
    drivers_[record.name] = std::move(driver);
    return row;
}

Result<DriverPtr> Pools::open_lost(const database::PoolRecord& record) {
    LX_TRY(validate_pool_name(record.name));
    // What is opened is made where it is missing: a slip of the pen must not make a pool.
    const auto source = record.config.find("source");
    const std::string place = source == record.config.end() ? config_of(record).path : source->second;
    if (!path_exists(place))
        return fail(Status::not_found, fmt::format("There is no storage pool at {}", place));
    return open_driver(record);
}

Result<> Pools::take_over(const database::PoolRecord& record, DriverPtr driver) {
    const NamedTurns::Turn turn = turns_.take(record.name);
    LX_TRY(database_.pools().create(record));
    const std::unique_lock lock(mutex_);
    drivers_[record.name] = std::move(driver);
    return {};
}

Result<database::PoolPtr> Pools::update(const database::PoolRecord& record) {
    const auto current = database_.pools().find(record.name);
    if (!current) return fail(Status::not_found, "Storage pool not found");
    const storage::DriverEntry* entry = storage::find_driver(current->driver);
    if (entry == nullptr)
        return fail(Status::unavailable, fmt::format("Storage driver '{}' is missing", current->driver));
    LX_TRY(validate_pool_config(record.config, *entry));
    LX_TRY(check_fixed_keys(*entry, current->config, record.config));
    if (record.config.contains(kRecoverKey))
        return fail(Status::bad_request,
                    fmt::format("Storage pool option '{}' is for new pools", kRecoverKey));
    const auto same = [&](std::string_view name) {
        const auto value = [key = std::string(name)](const api::ConfigMap& config) {
            const auto found = config.find(key);
            return found == config.end() ? std::nullopt : std::optional(found->second);
        };
        return value(current->config) == value(record.config);
    };
    if (!std::ranges::all_of(entry->live_keys, same)) {
        // Refused before the row has it; done again at the next start when a crash comes between.
        LX_TRY_AS(const DriverPtr opened, driver(record.name));
        LX_TRY(opened->reconfigure(config_of(record)));
    }
    return database_.pools().update(record);
}

Result<> Pools::require_unused(const std::string& pool) const {
    // Images are only a cache in the pool: they don't hold it, but instances and profiles do.
    const auto users = used_by(pool);
    const bool held =
        std::ranges::any_of(users, [](const std::string& url) { return !url.starts_with("/1.0/images/"); });
    return held ? Result<>(pool_in_use()) : Result<>();
}

Result<DriverPtr> Pools::withdraw(const std::string& pool) {
    const std::unique_lock lock(mutex_);
    const auto found = drivers_.find(pool);
    if (found == drivers_.end()) return DriverPtr();
    if (found->second.use_count() > 1) return pool_in_use();
    std::atomic_thread_fence(std::memory_order_acquire);  // after all that its last holder did
    return std::move(drivers_.extract(found).mapped());
}

Result<> Pools::remove(const std::string& pool) {
    const NamedTurns::Turn turn = turns_.take(pool);
    const auto row = database_.pools().find(pool);
    if (!row) return fail(Status::not_found, "Storage pool not found");
    failpoint("instances.pool.delete.begun");
    LX_TRY(require_unused(pool));
    LX_TRY_AS(DriverPtr last, withdraw(pool));
    Revert undo;
    undo.add([&] {
        const std::unique_lock lock(mutex_);
        drivers_[pool] = last;
    });
    LX_TRY(require_unused(pool));  // again: who held the driver until now may have stored a row
    if (last) {
        for (const auto& image : database_.images().list())
            LX_TRY(last->delete_volume({storage::VolumeType::image, image->fingerprint}));
    }
    LX_TRY_AS(const storage::DriverEntry* entry, known_driver(row->driver));
    PoolFoundation foundation(database_, *entry, config_of(*row));
    const auto removed = database_.transaction([&]() -> Result<> {
        LX_TRY(foundation.doom());
        return database_.pools().remove(pool);
    });
    LX_TRY(removed);
    undo.commit();
    failpoint("instances.pool.delete.row");
    if (last) LX_TRY(last->delete_pool());
    failpoint("instances.pool.delete.done");
    return foundation.forget();
}

std::vector<std::string> Pools::used_by(const std::string& pool) const {
    std::vector<std::string> urls;
    for (const auto& profile : database_.profiles().list()) {
        if (uses_pool(profile->devices, pool)) urls.push_back(api::profile_url(profile->name));
    }
    for (const auto& instance : database_.instances().list()) {
        if (instance->pool != pool) continue;
        urls.push_back(api::instance_url(instance->name));
        for (const auto& snapshot : database_.snapshots().list(instance->id))
            urls.push_back(api::public_url(
                fmt::format("/1.0/instances/{}/snapshots/{}", instance->name, url_encode(snapshot->name))));
    }
    for (const auto& volume : database_.volumes().list(pool)) {
        const auto url =
            fmt::format("/1.0/storage-pools/{}/volumes/custom/{}", pool, url_encode(volume->name));
        urls.push_back(api::public_url(url));
        for (const auto& snapshot : database_.volumes().snapshots(volume->id))
            urls.push_back(api::public_url(fmt::format("{}/snapshots/{}", url, url_encode(snapshot->name))));
    }
    for (const auto& image : database_.images().list()) {
        if (has_image(pool, image->fingerprint)) urls.push_back("/1.0/images/" + image->fingerprint);
    }
    std::ranges::sort(urls);
    return urls;
}

bool Pools::has_image(const std::string& pool, const std::string& fingerprint) const {
    const std::shared_lock lock(mutex_);  // a look does not count as a use
    const auto found = drivers_.find(pool);
    return found != drivers_.end() && found->second &&
           found->second->has_volume({storage::VolumeType::image, fingerprint});
}

Result<> Pools::remove_image(const std::string& fingerprint) {
    const std::shared_lock lock(mutex_);
    for (const auto& [name, driver] : drivers_) {
        if (driver) LX_TRY(driver->delete_volume({storage::VolumeType::image, fingerprint}));
    }
    return {};
}

Result<std::pair<std::string, std::string>> root_disk(const api::DeviceMap& expanded_devices) {
    for (const auto& [name, keys] : expanded_devices) {
        const auto type = keys.find("type");
        const auto path = keys.find("path");
        const auto pool = keys.find("pool");
        if (type == keys.end() || type->second != "disk" || path == keys.end() || path->second != "/")
            continue;
        if (pool == keys.end() || pool->second.empty()) {
            return fail(Status::bad_request, fmt::format("Root disk device '{}' has no pool", name));
        }
        return std::pair{name, pool->second};
    }
    return fail(
        Status::bad_request,
        "No root device could be found: add a disk with path=/ and a pool to the instance or a profile");
}

}  // namespace lxmgr::instances
