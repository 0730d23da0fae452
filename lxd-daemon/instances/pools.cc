#include "lxd-daemon/instances/pools.h"

#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"

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

Result<> validate_config(const api::ConfigMap& config, const storage::DriverEntry& driver) {
    for (const auto& [key, value] : config) {
        if (has_control_chars(key) || has_control_chars(value)) {
            return fail(Status::bad_request,
                        fmt::format("Storage pool option '{}' holds control characters", key));
        }
        const bool known = key.starts_with("user.") || key.starts_with("volatile.") ||
                           std::ranges::find(driver.config_keys, key) != driver.config_keys.end();
        if (!known) {
            return fail(
                Status::bad_request,
                fmt::format("Storage pool option '{}' is not supported by driver '{}'", key, driver.name));
        }
    }
    return {};
}

std::string driver_names() {
    std::string names;
    for (const auto& entry : storage::drivers())
        names += fmt::format("{}{}", names.empty() ? "" : ", ", entry.name);
    return names;
}

}  // namespace

Pools::Pools(database::Database& database, std::string state_dir)
    : database_(database), state_dir_(std::move(state_dir)) {}

Result<std::unique_ptr<storage::Driver>> Pools::open_driver(const database::PoolRecord& record) {
    const storage::DriverEntry* entry = storage::find_driver(record.driver);
    if (entry == nullptr) {
        return fail(Status::bad_request, fmt::format("Storage driver '{}' is not supported; there are: {}",
                                                     record.driver, driver_names()));
    }
    LX_TRY(validate_config(record.config, *entry));
    const storage::PoolConfig config{record.name, fmt::format("{}/storage-pools/{}", state_dir_, record.name),
                                     record.config};
    LX_TRY_AS(auto driver, entry->open(config, idmaps_));
    LX_TRY(driver->open_pool());
    return driver;
}

void Pools::open_all() {
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
}

Result<storage::Driver*> Pools::driver(const std::string& pool) const {
    const std::shared_lock lock(mutex_);
    const auto found = drivers_.find(pool);
    if (found == drivers_.end()) return fail(Status::not_found, "Storage pool not found");
    if (!found->second) {
        return fail(Status::unavailable,
                    fmt::format("Storage pool '{}' could not be opened: see the warnings", pool));
    }
    return found->second.get();
}

Result<database::PoolPtr> Pools::create(const database::PoolRecord& record) {
    LX_TRY(validate_pool_name(record.name));
    if (database_.pools().find(record.name)) {
        return fail(Status::conflict, fmt::format("Storage pool '{}' already exists", record.name));
    }
    // The disk first: what a crash leaves is an empty pool directory, which the same request takes over.
    LX_TRY_AS(auto driver, open_driver(record));
    auto row = database_.pools().create(record);
    if (!row) {
        if (auto removed = driver->delete_pool(); !removed) {
            log::warn("pool directory left behind",
                      {{"pool", record.name}, {"error", removed.error().message}});
        }
        return row;
    }
    const std::unique_lock lock(mutex_);
    drivers_[record.name] = std::move(driver);
    return row;
}

Result<database::PoolPtr> Pools::update(const database::PoolRecord& record) {
    const auto current = database_.pools().find(record.name);
    if (!current) return fail(Status::not_found, "Storage pool not found");
    const storage::DriverEntry* entry = storage::find_driver(current->driver);
    if (entry == nullptr)
        return fail(Status::unavailable, fmt::format("Storage driver '{}' is missing", current->driver));
    LX_TRY(validate_config(record.config, *entry));
    for (const auto key : entry->config_keys) {
        const std::string name(key);
        const auto before = current->config.find(name);
        const auto after = record.config.find(name);
        const bool same = before == current->config.end()
                              ? after == record.config.end()
                              : after != record.config.end() && after->second == before->second;
        if (!same)
            return fail(Status::bad_request, fmt::format("Storage pool option '{}' cannot be changed", name));
    }
    return database_.pools().update(record);
}

Result<> Pools::remove(const std::string& pool) {
    if (!database_.pools().find(pool)) return fail(Status::not_found, "Storage pool not found");
    // Images are only a cache in the pool: they don't hold it, but instances and profiles do.
    const auto users = used_by(pool);
    const bool held =
        std::ranges::any_of(users, [](const std::string& url) { return !url.starts_with("/1.0/images/"); });
    if (held) return fail(Status::bad_request, "The storage pool is currently in use");
    auto opened = driver(pool);
    if (opened) {
        for (const auto& image : database_.images().list()) {
            LX_TRY((*opened)->delete_volume({storage::VolumeType::image, image->fingerprint}));
        }
    }
    LX_TRY(database_.pools().remove(pool));
    std::unique_ptr<storage::Driver> last;
    {
        const std::unique_lock lock(mutex_);
        last = std::move(drivers_[pool]);
        drivers_.erase(pool);
    }
    return last ? last->delete_pool() : Result<>{};
}

std::vector<std::string> Pools::used_by(const std::string& pool) const {
    std::vector<std::string> urls;
    for (const auto& profile : database_.profiles().list()) {
        if (uses_pool(profile->devices, pool)) urls.push_back("/1.0/profiles/" + profile->name);
    }
    for (const auto& instance : database_.instances().list()) {
        if (instance->pool == pool) urls.push_back("/1.0/instances/" + instance->name);
    }
    for (const auto& volume : database_.volumes().list(pool))
        urls.push_back(
            fmt::format("/1.0/storage-pools/{}/volumes/custom/{}", pool, url_encode(volume->name)));
    for (const auto& image : database_.images().list()) {
        if (has_image(pool, image->fingerprint)) urls.push_back("/1.0/images/" + image->fingerprint);
    }
    std::ranges::sort(urls);
    return urls;
}

bool Pools::has_image(const std::string& pool, const std::string& fingerprint) const {
    const auto opened = driver(pool);
    return opened && (*opened)->has_volume({storage::VolumeType::image, fingerprint});
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
