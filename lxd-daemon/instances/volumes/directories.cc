#include "lxd-daemon/instances/volumes/directories.h"

#include <algorithm>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::instances {
namespace {

api::ConfigMap details_of(const Place& place) {
    return {{"pool", place.pool}, {"directory", place.volume.name}};
}

Place directory_place_of(const std::string& pool, const std::string& directory) {
    return {pool, {storage::VolumeType::custom, directory}};
}

void remove_directory(Context& context, const Place& place, std::int64_t intent) {
    const auto driver = context.deps.pools.driver(place.pool);
    auto removed =
        driver ? (*driver)->delete_volume(place.volume) : Result<>(std::unexpected(driver.error()));
    failpoint("instances.volume.directory_removed");
    if (removed) removed = context.deps.database.intents().remove(intent);
    if (removed) return;
    log::error("volume directory left for the next start",
               {{"pool", place.pool}, {"error", removed.error().message}});
}

bool is_known(Context& context, const std::string& pool, const std::string& directory) {
    auto& volumes = context.deps.database.volumes();
    const auto named = [&directory](const auto& row) { return row->volume == directory; };
    return std::ranges::any_of(volumes.list(pool), named) ||
           std::ranges::any_of(volumes.all_snapshots(), named);
}

}  // namespace

Result<NewDirectory> NewDirectory::begin(Context& context, const std::string& pool,
                                         const storage::Volume& shape) {
    Place place{pool, shape};
    place.volume.type = storage::VolumeType::custom;
    place.volume.name = random_hex(16);
    LX_TRY_AS(DriverPtr driver, context.deps.pools.driver(pool));
    LX_TRY_AS(const auto intent,
              context.deps.database.intents().add(kVolumeDirectoryIntent, details_of(place)));
    failpoint("instances.volume.intent");
    return NewDirectory(context, std::move(driver), std::move(place), intent);
}

NewDirectory::~NewDirectory() {
    if (context_ != nullptr) remove_directory(*context_, place_, intent_);
}

Result<> NewDirectory::belongs_to_a_row() { return context_->deps.database.intents().remove(intent_); }

Result<> DoomedDirectories::doom(const std::string& pool, const std::string& directory) {
    Place place = directory_place_of(pool, directory);
    LX_TRY_AS(const auto intent,
              context_.deps.database.intents().add(kVolumeDirectoryIntent, details_of(place)));
    doomed_.push_back({std::move(place), intent});
    return {};
}

void DoomedDirectories::remove() {
    for (const auto& [place, intent] : doomed_) remove_directory(context_, place, intent);
    doomed_.clear();
}

Result<> recover_volume_directory(Context& context, const database::IntentRecord& intent) {
    const auto pool = intent.details.find("pool");
    const auto directory = intent.details.find("directory");
    if (pool == intent.details.end() || directory == intent.details.end()) return {};
    if (is_known(context, pool->second, directory->second)) return {};
    const auto driver = context.deps.pools.driver(pool->second);
    if (driver) return (*driver)->delete_volume({storage::VolumeType::custom, directory->second});
    if (driver.error().status == Status::not_found) return {};
    return std::unexpected(driver.error());
}

}  // namespace lxmgr::instances
