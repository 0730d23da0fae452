#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/base/result.h"
#include "storage/driver.h"

/// LVM by argv: lvm2 and dmsetup. Everything that a pool makes carries the pool's tag, and nothing without it
/// is ever removed.
namespace lxmgr::storage {

/// Of a pool in a volume group.
struct VolumeGroup {
    std::string name;
    std::string thin_pool;  ///< empty: volumes take their whole size at once
    std::string tag;
    [[nodiscard]] bool is_thin() const { return !thin_pool.empty(); }
};

/// Standard output of "lvm ARGV". Errors: `bad_request` naming the package where it is not installed.
Result<std::string> run_lvm(const std::vector<std::string>& argv);
/// The same; false when LVM says that there is no such thing.
Result<bool> run_lvm_if_there(const std::vector<std::string>& argv);

/// What is in a group, whoever made it.
struct GroupContent {
    struct Lv {
        std::string name, tags;  ///< comma-separated
        std::string pool;        ///< the thin pool that it is in
    };
    std::string tags;
    std::vector<Lv> volumes;
};
/// nullopt: there is no such group.
Result<std::optional<GroupContent>> group_content(const VolumeGroup& group);
bool has_tag(const std::string& tags, const std::string& tag);

/// "/dev/mapper/VG-LV"
std::string device_of(const VolumeGroup& group, const std::string& lv);
/// As options of lvcreate; none where one device has it all.
std::vector<std::string> stripe_options(const Stripes& stripes);
struct LvShape {
    std::uint64_t bytes = 0;
    bool thin = false;
    Stripes stripes = {};  ///< of one that is not thin
};
/// A new one, active, its first bytes zero. Never activated at boot. Errors: `bad_request` where the group
/// has fewer devices than it is to be spread over.
Result<> create_lv(const VolumeGroup& group, const std::string& lv, const LvShape& shape);
/// Thin; not active. What has the source mounted is held for a moment, so its file system is whole.
Result<> snapshot_lv(const VolumeGroup& group, const std::string& source, const std::string& lv);
/// An absent one is success. Errors: also while it is in use.
Result<> remove_lv(const VolumeGroup& group, const std::string& lv);
Result<std::uint64_t> lv_bytes(const VolumeGroup& group, const std::string& lv);
/// Its size is a whole number of these: one extent from each device that it is spread over.
Result<std::uint64_t> lv_unit_bytes(const VolumeGroup& group, const std::string& lv);
Result<> extend_lv(const VolumeGroup& group, const std::string& lv, std::uint64_t bytes);
Result<> activate_lv(const VolumeGroup& group, const std::string& lv);
/// The kernel takes the device away with its last user, whoever is killed meanwhile; at once when it has
/// none.
void release_lv(const VolumeGroup& group, const std::string& lv);
/// Up to whole extents.
std::uint64_t round_to_extents(std::uint64_t bytes);

struct GroupSpace {
    std::uint64_t total_bytes = 0, used_bytes = 0;
};
/// Of the thin pool, else of the group.
Result<GroupSpace> group_space(const VolumeGroup& group);

}  // namespace lxmgr::storage
