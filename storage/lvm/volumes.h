#pragma once
#include "storage/limits/volume_limits.h"
#include "storage/lvm/volume_group.h"

namespace lxmgr::storage {

/// What a volume's directory says of its logical volume, in the symlink "lv": so the volume follows every
/// rename of its directory, and a half-made or deleted one still names what has to be removed with it.
struct LogicalVolume {
    std::string name;
    std::string file_system;
    std::uint64_t limit_bytes = 0;  ///< as it was asked for; 0: it has the default size
};
/// nullopt: it has none.
Result<std::optional<LogicalVolume>> find_lv(int volume_fd);
/// Errors: `internal` when it has none.
Result<LogicalVolume> read_lv(int volume_fd);
/// In one step, durably.
Result<> write_lv(int volume_fd, const LogicalVolume& lv);
std::string new_lv_name();

/// A detached mount; the device is made active where it is not, and then goes with its last user.
Result<UniqueFd> mount_lv(const VolumeGroup& group, const LogicalVolume& lv, const std::string& options);

/// LXD's default size of a volume.
inline constexpr std::uint64_t kDefaultLvBytes = std::uint64_t{10} << 30U;
/// Whole size of a volume's device, for what it is to hold.
std::uint64_t device_bytes(const Volume& volume);

/// Plain directories that take their logical volume along.
class LvmDirectories final : public DirectoryMaker {
public:
    explicit LvmDirectories(const VolumeGroup& group) : group_(group) {}
    [[nodiscard]] Result<> create(int parent_fd, const std::string& name) const override {
        return plain_directories().create(parent_fd, name);
    }
    [[nodiscard]] Result<std::vector<std::string>> remove(int parent_fd, const std::string& name,
                                                          const Interrupted& interrupted) const override;

private:
    const VolumeGroup& group_;
};

/// A volume's tree is the root of its logical volume's file system, whose size is the limit. A device is
/// active as long as somebody has it mounted. Thread-safe.
class LvmVolumes final : public VolumeLimits {
public:
    /// Both stay owned by the caller; `defaults` may be changed while no member runs.
    struct Defaults {
        std::string file_system, mount_options;
        Stripes stripes;
    };
    LvmVolumes(const VolumeGroup& group, const Defaults& defaults) : group_(group), defaults_(defaults) {}

    Result<Contents> open(int volume_fd) const override;
    Result<UniqueFd> mount_tree(int volume_fd, const MountRequest& request) const override;
    Result<Contents> begin(const Draft& draft, const Volume& volume) const override;
    Result<> finish(const Draft& draft, const Volume& volume, const Contents& contents) const override;
    Error explain(const Volume& volume, const Contents& contents, Error error) const override;
    Result<std::uint64_t> limit(int volume_fd) const override;
    Result<std::optional<std::uint64_t>> usage(int volume_fd) const override;
    Result<bool> change(const Volume& volume, int volume_fd) const override;

    /// What is in memory of a mounted one is on its device: the kernel does that for a snapshot of ext4 and
    /// xfs, and not of btrfs.
    Result<> flush(const LogicalVolume& lv) const;
    /// Device and file system become as large as that; one that is so already stays.
    Result<> grow(const LogicalVolume& lv, std::uint64_t now_bytes, std::uint64_t bytes) const;

private:
    const VolumeGroup& group_;
    const Defaults& defaults_;
};

}  // namespace lxmgr::storage
