#include "storage/dir/dir.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include "storage/carried_map.h"
#include "storage/tree/copy.h"

namespace lxmgr::storage {

Result<std::unique_ptr<Driver>> DirDriver::open(const PoolConfig& config, sys::IdmapCache& idmaps) {
    LX_TRY(PoolDirectory::check(config));
    return std::make_unique<DirDriver>(config, idmaps);
}

Result<> DirDriver::create_from_image(const Volume& volume, const std::string& image_fingerprint) {
    LX_TRY_AS(const UniqueFd image, pool_.open_volume({VolumeType::image, image_fingerprint}));
    LX_TRY_AS(const auto carried, carried_map(image.get()));
    LX_TRY_AS(const UniqueFd root, open_tree_root(image.get(), "rootfs"));
    // A delete of the image takes it out of sight before anything in it goes: still there afterwards, the
    // copy is whole.
    const auto still_there = [&]() -> Result<> {
        LX_TRY_AS(const UniqueFd now, pool_.open_volume({VolumeType::image, image_fingerprint}));
        struct stat before{}, after{};
        if (::fstat(image.get(), &before) != 0 || ::fstat(now.get(), &after) != 0)
            return fail_errno("fstat", image_fingerprint);
        if (before.st_ino == after.st_ino) return {};
        return fail(Status::not_found, fmt::format("{} was replaced meanwhile",
                                                   describe({VolumeType::image, image_fingerprint})));
    };
    const IdShift shift(carried ? &*carried : nullptr, nullptr);
    return trees_.create(volume, [&](int root_fd) -> Result<> {
        auto copied = copy_tree(root.get(), root_fd, carried ? &shift : nullptr);
        LX_TRY(still_there());
        return copied;
    });
}

}  // namespace lxmgr::storage
