#pragma once
#include "storage/limits/volume_limits.h"

namespace lxmgr::storage {

/// Of volumes that are directories of a plain file system: project quotas where it enforces them, else an
/// image file for each volume that has a limit. A volume without one has neither. Thread-safe after open().
class DirectoryLimits final : public VolumeLimits {
public:
    /// `pool` stays owned by the caller.
    explicit DirectoryLimits(PoolDirectory& pool) : pool_(pool) {}
    /// After the pool's open().
    void open();

    Result<Contents> begin(const Draft& draft, const Volume& volume) const override;
    Result<> finish(const Draft& draft, const Volume& volume, const Contents& contents) const override;
    Error explain(const Volume& volume, const Contents& contents, Error error) const override;
    Result<std::uint64_t> limit(int volume_fd) const override;
    Result<std::optional<std::uint64_t>> usage(int volume_fd) const override;
    Result<bool> change(const Volume& volume, int volume_fd) const override;
    Result<std::uint32_t> project(int volume_fd) const override;
    void forget(std::uint32_t project) const override;

private:
    Result<bool> change_project(const Volume& volume, int volume_fd) const;

    PoolDirectory& pool_;
    bool projects_ = false;
};

}  // namespace lxmgr::storage
