#pragma once
#include "storage/limits/volume_limits.h"

namespace lxmgr::storage {

/// Limits of subvolumes: what each refers to, shared or not (qgroup 0/ID, max_rfer). Quotas are switched on
/// with the first limit, since every write pays for them. Subvolumes that a guest makes in its own are not
/// counted.
class QgroupLimits final : public VolumeLimits {
public:
    Result<Contents> begin(const Draft& draft, const Volume& volume) const override;
    Result<> finish(const Draft& draft, const Volume& volume, const Contents& contents) const override;
    Error explain(const Volume& volume, const Contents& contents, Error error) const override;
    Result<std::uint64_t> limit(int volume_fd) const override;
    Result<std::optional<std::uint64_t>> usage(int volume_fd) const override;
    Result<bool> change(const Volume& volume, int volume_fd) const override;
};

}  // namespace lxmgr::storage
