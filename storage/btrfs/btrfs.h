#pragma once
#include "storage/btrfs/qgroups.h"
#include "storage/btrfs/streams.h"
#include "storage/btrfs/subvolume.h"
#include "storage/tree_volumes.h"

namespace lxmgr::storage {

/// A volume is a subvolume, with the tree in its "rootfs": a copy, a snapshot and an instance from an image
/// are snapshots of it, which take milliseconds whatever their size. What a guest nests in its own comes
/// along. Everything by ioctl(2), since libbtrfsutil would be one more library for five calls; mkfs.btrfs by
/// argv.
class BtrfsDriver final : public Driver {
public:
    static Result<std::unique_ptr<Driver>> open(const PoolConfig& config, sys::IdmapCache& idmaps);
    /// `idmaps` stays owned by the caller. Use open(): it checks the configuration.
    BtrfsDriver(PoolConfig config, PoolConfig directories, sys::IdmapCache& idmaps)
        : config_(std::move(config)),
          pool_(std::move(directories), subvolume_maker()),
          trees_(pool_, limits_, idmaps, abilities_),
          streams_(pool_, trees_, limits_) {}

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
    Result<MountedVolume> mount(const Volume& volume, const MountRequest& request) override {
        return trees_.mount(volume, request);
    }
    Result<std::uint64_t> usage_bytes(const Volume& volume) override { return trees_.usage_bytes(volume); }
    Result<> resize_volume(const Volume& volume, bool in_use) override {
        return trees_.resize(volume, in_use);
    }
    Result<std::uint64_t> volume_limit(const Volume& volume) override { return trees_.limit(volume); }
    Result<PoolSpace> space() override { return pool_.space(); }
    VolumeStreams* streams() override { return &streams_; }
    Result<> reconfigure(const PoolConfig& config) override;

    Abilities& abilities() { return abilities_; }  ///< for tests: less than the host has

private:
    /// A draft with all that a volume holds.
    Result<Draft> snapshot(int source_fd);

    PoolConfig config_;
    Abilities abilities_;
    PoolDirectory pool_;
    QgroupLimits limits_;
    TreeVolumes trees_;
    BtrfsStreams streams_;
};

}  // namespace lxmgr::storage
