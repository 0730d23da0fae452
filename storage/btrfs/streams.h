#pragma once
#include "storage/btrfs/qgroups.h"
#include "storage/streams.h"
#include "storage/tree_volumes.h"

namespace lxmgr::storage {

/// Subvolumes as streams of btrfs-send(8), which the kernel writes (BTRFS_IOC_SEND) and we read ourselves: a
/// stream says what to do by paths and by UUIDs of other subvolumes, which btrfs-receive(8) looks up in all
/// of the file system.
class BtrfsStreams final : public VolumeStreams {
public:
    /// All stay owned by the caller.
    BtrfsStreams(PoolDirectory& pool, TreeVolumes& trees, const QgroupLimits& limits)
        : pool_(pool), trees_(trees), limits_(limits) {}
    [[nodiscard]] std::string_view form() const override { return "btrfs"; }
    Result<> check(const Volume& volume) override;
    Result<std::string> identity(const Volume& volume) override;
    std::unique_ptr<StreamSender> sender() override;
    std::unique_ptr<StreamReceiver> receiver() override;

private:
    PoolDirectory& pool_;
    TreeVolumes& trees_;
    const QgroupLimits& limits_;
};

}  // namespace lxmgr::storage
