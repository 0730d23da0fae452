#pragma once
#include "storage/limits/directory_limits.h"
#include "storage/tree_volumes.h"

namespace lxmgr::storage {

/// Works on every file system: a volume is a tree of its own, an instance a copy of the image's (contents
/// shared where the file system can, FICLONE).
class DirDriver final : public Driver {
public:
    static Result<std::unique_ptr<Driver>> open(const PoolConfig& config, sys::IdmapCache& idmaps);
    /// `idmaps` stays owned by the caller. Use open(): it checks the configuration.
    DirDriver(PoolConfig config, sys::IdmapCache& idmaps)
        : pool_(std::move(config)), limits_(pool_), trees_(pool_, limits_, idmaps, abilities_) {}

    Result<> open_pool() override {
        LX_TRY(pool_.open());
        limits_.open();
        return {};
    }
    Result<> delete_pool() override { return pool_.remove(); }
    Result<> recover() override { return pool_.recover(); }
    void drain() override { pool_.drain(); }
    Result<> create_volume(const Volume& volume, const Filler& fill) override {
        return trees_.create(volume, fill);
    }
    Result<> create_from_image(const Volume& volume, const std::string& image_fingerprint) override;
    Result<> create_copy(const Volume& volume, const Volume& source,
                         const std::function<void()>& source_read) override {
        return trees_.copy(volume, source, source_read);
    }
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

    Abilities& abilities() { return abilities_; }  ///< for tests: less than the host has

private:
    Abilities abilities_;
    PoolDirectory pool_;
    DirectoryLimits limits_;
    TreeVolumes trees_;
};

}  // namespace lxmgr::storage
