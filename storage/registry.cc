#include <algorithm>
#include <array>

#include "storage/btrfs/btrfs.h"
#include "storage/btrfs/pool_device.h"
#include "storage/dir/dir.h"
#include "storage/driver.h"
#include "storage/lvm/lvm.h"
#include "storage/lvm/pool.h"
#include "storage/overlay/overlay.h"

namespace lxmgr::storage {
namespace {

constexpr std::array<std::string_view, 1> kDirectoryKeys = {"source"};

constexpr std::array<std::string_view, 4> kBtrfsKeys = {"source", "size", "source.wipe",
                                                        "btrfs.mount_options"};
constexpr std::array<std::string_view, 2> kBtrfsLiveKeys = {"size", "btrfs.mount_options"};

constexpr std::array<std::string_view, 8> kLvmKeys = {"source",
                                                      "size",
                                                      "source.wipe",
                                                      "lvm.vg_name",
                                                      "lvm.thinpool_metadata_size",
                                                      "lvm.thinpool_name",
                                                      "lvm.use_thinpool",
                                                      "lvm.vg.force_reuse"};
constexpr std::array<std::string_view, 5> kLvmLiveKeys = {"size", "volume.block.filesystem",
                                                          "volume.block.mount_options", "volume.lvm.stripes",
                                                          "volume.lvm.stripes.size"};
constexpr std::array<std::string_view, 4> kBlockKeys = {"block.filesystem", "block.mount_options",
                                                        "lvm.stripes", "lvm.stripes.size"};

constexpr std::array kDrivers = {
    DriverEntry{
        "btrfs", "1", kBtrfsKeys, BtrfsDriver::open, kBtrfsLiveKeys, prepare_pool, discard_pool, {}, true},
    DriverEntry{"dir", "1", kDirectoryKeys, DirDriver::open},
    DriverEntry{"lvm", "1", kLvmKeys, LvmDriver::open, kLvmLiveKeys, prepare_lvm_pool, discard_lvm_pool,
                kBlockKeys},
    DriverEntry{"overlay", "1", kDirectoryKeys, OverlayDriver::open},
};

}  // namespace

std::span<const DriverEntry> drivers() { return kDrivers; }

const DriverEntry* find_driver(std::string_view name) {
    const auto* found = std::ranges::find(kDrivers, name, &DriverEntry::name);
    return found == kDrivers.end() ? nullptr : found;
}

}  // namespace lxmgr::storage
