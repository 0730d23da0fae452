#include "storage/lvm/lvm.h"

#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/base/failpoint.h"
#include "storage/carried_map.h"
#include "storage/lvm/file_system.h"
#include "storage/lvm/pool.h"

namespace lxmgr::storage {
Result<std::unique_ptr<Driver>> LvmDriver::open(const PoolConfig& config, sys::IdmapCache& idmaps) {
    LX_TRY_AS(auto place, lvm_place_of(config));
    PoolConfig directories = config;
    directories.config.erase("source");  // it is mounted at the pool's own directory
    return std::make_unique<LvmDriver>(config, std::move(directories), std::move(place.group), idmaps);
}

LvmDriver::LvmDriver(PoolConfig config, PoolConfig directories, VolumeGroup group, sys::IdmapCache& idmaps)
    : config_(std::move(config)),
      group_(std::move(group)),
      directories_(group_),
      pool_(std::move(directories), directories_),
      volumes_(group_, defaults_),
      trees_(pool_, volumes_, idmaps, abilities_) {
    set_defaults(config_);
}

void LvmDriver::set_defaults(const PoolConfig& config) {
    const auto value = [&config](const char* key, const char* fallback) {
        const auto found = config.config.find(key);
        return found == config.config.end() || found->second.empty() ? std::string(fallback) : found->second;
    };
    defaults_ = {value("volume.block.filesystem", "ext4"), value("volume.block.mount_options", "discard"),
                 config.stripes};
}

Result<> LvmDriver::open_pool() {
    LX_TRY(mount_lvm_pool(config_));
    return pool_.open();
}

Result<> LvmDriver::delete_pool() {
    LX_TRY(pool_.require_empty());
    pool_.close();
    return discard_lvm_pool(config_);
}

Result<Volume> LvmDriver::as_it_is(const Volume& volume) {
    Volume out = volume;
    LX_TRY_AS(const UniqueFd directory, pool_.open_volume(volume));
    LX_TRY_AS(const auto lv, read_lv(directory.get()));
    out.file_system = lv.file_system;
    return out;
}

Result<> LvmDriver::copy_thinly(const Volume& volume, const UniqueFd& source, const LogicalVolume& from,
                                std::uint64_t now, const std::function<void()>& source_read) {
    LX_TRY_AS(const auto carried, carried_map(source.get()));
    LX_TRY_AS(Draft draft, pool_.begin());
    const LogicalVolume fresh{new_lv_name(), from.file_system, volume.size_bytes};
    LX_TRY(write_lv(draft.fd(), fresh));
    if (carried) LX_TRY(set_carried_map(draft.fd(), *carried));
    failpoint("storage.lvm.copy.named");
    LX_TRY(volumes_.flush(from));
    LX_TRY(snapshot_lv(group_, from.name, fresh.name));
    failpoint("storage.lvm.copy.made");
    if (source_read) source_read();
    if (fresh.file_system == "btrfs") {
        LX_TRY(activate_lv(group_, fresh.name));
        LX_TRY(renew_identity(fresh.file_system, device_of(group_, fresh.name)));
        release_lv(group_, fresh.name);
    }
    if (device_bytes(volume) > now) LX_TRY(volumes_.grow(fresh, now, device_bytes(volume)));
    LX_TRY(pool_.publish(draft, pool_.fd(volume.type), volume.name));
    failpoint("storage.lvm.copy.published");
    return {};
}

Result<> LvmDriver::create_copy(const Volume& volume, const Volume& source,
                                const std::function<void()>& source_read) {
    LX_TRY(pool_.require_absent(volume));
    LX_TRY_AS(const UniqueFd directory, pool_.open_volume(source));
    LX_TRY_AS(const auto from, read_lv(directory.get()));
    // Made smaller, or with another file system, it has to be copied file by file.
    Volume wanted = volume;
    if (wanted.file_system.empty()) wanted.file_system = from.file_system;
    const auto size = lv_bytes(group_, from.name);
    if (!size) LX_TRY(pool_.open_volume(source));  // deleted meanwhile: then it is that
    LX_TRY_AS(const std::uint64_t now, size);
    if (wanted.size_bytes == 0 && (wanted.like_source || wanted.type == VolumeType::snapshot)) {
        wanted.like_source = true;
        wanted.content_bytes = now;
    }
    const bool whole = group_.is_thin() && wanted.file_system == from.file_system &&
                       (wanted.size_bytes == 0 || device_bytes(wanted) >= now);
    auto copied = whole ? copy_thinly(wanted, directory, from, now, source_read)
                        : trees_.copy(wanted, source, source_read);
    if (!copied) LX_TRY(pool_.open_volume(source));
    return copied;
}

Result<MountedVolume> LvmDriver::mount(const Volume& volume, const MountRequest& request) {
    LX_TRY_AS(const Volume same, as_it_is(volume));
    return trees_.mount(same, request);
}

Result<> LvmDriver::resize_volume(const Volume& volume, bool in_use) {
    LX_TRY_AS(const Volume same, as_it_is(volume));
    return trees_.resize(same, in_use);
}

Result<PoolSpace> LvmDriver::space() {
    LX_TRY_AS(PoolSpace out, pool_.space());
    LX_TRY_AS(const auto group, group_space(group_));
    out.total_bytes = group.total_bytes;
    out.used_bytes = group.used_bytes;
    return out;
}

Result<> LvmDriver::reconfigure(const PoolConfig& config) {
    const auto value = [](const PoolConfig& of, const char* key) { return api::value_of(of.config, key); };
    const std::string file_system = value(config, "volume.block.filesystem");
    if (!file_system.empty()) LX_TRY(check_file_system(file_system, kDefaultLvBytes));
    if (value(config, "size") != value(config_, "size")) LX_TRY(grow_lvm_pool(config));
    config_ = config;
    set_defaults(config);
    return {};
}

}  // namespace lxmgr::storage
