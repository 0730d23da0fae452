#pragma once
#include "storage/limits/directory_limits.h"
#include "storage/overlay/layers.h"
#include "storage/overlay/overlay_mount.h"
#include "storage/tree_volumes.h"

namespace lxmgr::storage {

/// The default on any file system that can hold an overlay's upper: a container volume made from an image is
/// an empty upper directory on the image's tree, so making it copies nothing. Volumes made by a filler are
/// plain trees. A copy or a snapshot stands on the same image and has a copy of the upper: its whiteouts,
/// opaque directories and redirects are files and attributes there, so they come along. The layers of a
/// mounted overlay cannot be changed, so stacking a new upper on a frozen one is not for running instances.
///   {containers,snapshots}/NAME/{base,upper,work}   or   {containers,snapshots}/NAME/rootfs
/// With a limit, upper and work may be in NAME/volume.img instead (limits/image_file.h), or its root be the
/// tree. An overlay cannot hold another overlay's upper: what nests container engines needs a plain volume
/// for them.
class OverlayDriver final : public Driver {
public:
    static Result<std::unique_ptr<Driver>> open(const PoolConfig& config, sys::IdmapCache& idmaps);
    /// `idmaps` stays owned by the caller. Use open(): it checks the configuration and the kernel.
    OverlayDriver(PoolConfig config, sys::IdmapCache& idmaps)
        : idmaps_(idmaps),
          pool_(std::move(config)),
          limits_(pool_),
          trees_(pool_, limits_, idmaps, abilities_),
          layers_(pool_) {}

    /// Also tries an overlay: `bad_request` on a file system that cannot hold one.
    Result<> open_pool() override;
    Result<> delete_pool() override;
    Result<> recover() override;
    void drain() override { pool_.drain(); }
    Result<> create_volume(const Volume& volume, const Filler& fill) override;
    Result<> create_from_image(const Volume& volume, const std::string& image_fingerprint) override;
    Result<> create_copy(const Volume& volume, const Volume& source,
                         const std::function<void()>& source_read) override;
    Result<> swap_volumes(const Volume& a, const Volume& b) override { return pool_.swap(a, b); }
    bool has_volume(const Volume& volume) override;
    Result<UniqueFd> open_directory(const Volume& volume) override { return pool_.open_volume(volume); }
    Result<std::vector<std::string>> list_volumes(VolumeType type) override {
        return pool_.list(pool_.fd(type));
    }
    Result<> delete_volume(const Volume& volume) override;
    Result<> rename_volume(const Volume& volume, const std::string& new_name) override {
        return pool_.rename(volume, new_name);
    }
    Result<MountedVolume> mount(const Volume& volume, const MountRequest& request) override;
    Result<std::string> evident_base(const Volume& volume) override;
    Result<std::uint64_t> usage_bytes(const Volume& volume) override;
    Result<> resize_volume(const Volume& volume, bool in_use) override;
    Result<std::uint64_t> volume_limit(const Volume& volume) override { return trees_.limit(volume); }
    Result<PoolSpace> space() override { return pool_.space(); }

    Abilities& abilities() { return abilities_; }  ///< for tests: less than the host has

private:
    Result<> try_overlay();
    Result<UniqueFd> mount_on(const Volume& volume, const std::string& layer, const MountRequest& request);
    /// nullopt: not here, and the abilities say so now.
    Result<std::optional<OverlayLayers>> idmapped_layers(const std::string& layer, int volume_fd,
                                                         const sys::IdMap& map);
    Result<OverlayLayers> plain_layers(const std::string& layer, int volume_fd, const sys::IdMap* map);
    /// Rewrites the ids of the upper tree from one map to another, through a copy: whole or not at all.
    Result<> rewrite_upper(const Volume& volume, int volume_fd, const sys::IdMap* from, const sys::IdMap* to);
    /// Puts a copy that was made with other ids or another limit in the volume's place.
    Result<> remake(const Volume& volume, int volume_fd, const IdShift* shift, const sys::IdMap* carried);

    sys::IdmapCache& idmaps_;
    Abilities abilities_;
    PoolDirectory pool_;
    DirectoryLimits limits_;
    TreeVolumes trees_;
    Layers layers_;
    Staging staging_;
};

}  // namespace lxmgr::storage
