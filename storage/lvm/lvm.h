#pragma once
#include "storage/lvm/volumes.h"
#include "storage/tree_volumes.h"

namespace lxmgr::storage {

/// A volume is a logical volume with a file system of its own, thin where the pool is: then a copy, a
/// snapshot and an instance from an image are thin snapshots. Volumes come, go and change their names as
/// directories of the pool's own small file system, which name their logical volumes.
class LvmDriver final : public Driver {
public:
    static Result<std::unique_ptr<Driver>> open(const PoolConfig& config, sys::IdmapCache& idmaps);
    /// `idmaps` stays owned by the caller. Use open(): it checks the configuration.
    LvmDriver(PoolConfig config, PoolConfig directories, VolumeGroup group, sys::IdmapCache& idmaps);

    Result<> open_pool() override;
    Result<> delete_pool() override;
    Result<> recover() override { return pool_.recover(); }
    void drain() override { pool_.drain(); }
    Result<> create_volume(const Volume& volume, const Filler& fill) override {
        return trees_.create(volume, fill);
    }
    Result<> create_from_image(const Volume& volume, const std::string& image_fingerprint) override {
        return create_copy(volume, {VolumeType::image, image_fingerprint}, {});
    }
    Result<> create_copy(const Volume& volume, const Volume& source,
                         const std::function<void()>& source_read) override;
    Result<> swap_volumes(const Volume& a, const Volume& b) override { return pool_.swap(a, b); }
    bool has_volume(const Volume& volume) override { return pool_.open_volume(volume).has_value(); }
    Result<UniqueFd> open_directory(const Volume& volume) override { return pool_.open_volume(volume); }
    Result<std::vector<std::string>> list_volumes(VolumeType type) override {
        return pool_.list(pool_.fd(type));
    }
    Result<> delete_volume(const Volume& volume) override { return trees_.remove(volume); }
    Result<> rename_volume(const Volume& volume, const std::string& new_name) override {
        return pool_.rename(volume, new_name);
    }
    Result<MountedVolume> mount(const Volume& volume, const MountRequest& request) override;
    Result<std::uint64_t> usage_bytes(const Volume& volume) override { return trees_.usage_bytes(volume); }
    Result<> resize_volume(const Volume& volume, bool in_use) override;
    Result<std::uint64_t> volume_limit(const Volume& volume) override { return trees_.limit(volume); }
    Result<PoolSpace> space() override;
    Result<> reconfigure(const PoolConfig& config) override;

    Abilities& abilities() { return abilities_; }  ///< for tests: less than the host has

private:
    /// With the file system that it has, should its contents have to be made anew.
    Result<Volume> as_it_is(const Volume& volume);
    Result<> copy_thinly(const Volume& volume, const UniqueFd& source, const LogicalVolume& from,
                         std::uint64_t now, const std::function<void()>& source_read);
    void set_defaults(const PoolConfig& config);

    PoolConfig config_;
    Abilities abilities_;
    VolumeGroup group_;
    LvmVolumes::Defaults defaults_;
    LvmDirectories directories_;
    PoolDirectory pool_;
    LvmVolumes volumes_;
    TreeVolumes trees_;
};

}  // namespace lxmgr::storage
