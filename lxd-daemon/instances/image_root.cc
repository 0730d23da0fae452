#include <fmt/format.h>

#include "images/image.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/image_store.h"
#include "lxd-daemon/instances/settings.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

/// Makes a volume of the image's files.
Result<> unpack_to(const Context& context, storage::Driver& driver, const storage::Volume& volume,
                   const database::ImageRecord& image, operations::Operation* operation,
                   std::stop_token stop) {
    const ImageStore store(context.deps.database, context.deps.pools);
    const images::ImageFiles files = store.files_of(image);
    std::mutex progress_mutex;  // called from the threads that unpack
    int shown = -1;
    const auto progress = [&](int percent) {
        const std::lock_guard progress_lock(progress_mutex);
        if (percent <= shown) return;
        shown = percent;
        if (operation == nullptr) return;
        operation->update_metadata(
            {{"create_instance_from_image_unpack_progress", fmt::format("Unpacking image: {}%", percent)}});
    };
    return driver.create_volume(
        volume, [&](int root_fd) { return images::unpack_rootfs(files, root_fd, {}, stop, progress); });
}

/// Unpacks the image in the pool unless it is there. Two creations of the same image do it once.
Result<> ensure_image_volume(Context& context, storage::Driver& driver, const database::ImageRecord& image,
                             const std::string& pool, operations::Operation* operation,
                             std::stop_token stop) {
    const storage::Volume volume{storage::VolumeType::image, image.fingerprint};
    const auto mutex = context.images.get(pool + "/" + image.fingerprint);
    const std::lock_guard lock(*mutex);
    if (driver.has_volume(volume)) return {};
    return unpack_to(context, driver, volume, image, operation, std::move(stop));
}

/// The kernel refuses an overlay's upper directory on an overlay, and container engines inside make overlays:
/// an instance created for them gets a root of plain files, at the price of unpacking the image once more.
bool needs_plain_root(const Context& context, const database::InstanceRecord& record) {
    const auto pool = context.deps.database.pools().find(record.pool);
    return pool && pool->driver == "overlay" && flag_of(expand(context, record).config, "security.nesting");
}

}  // namespace

Result<> make_image_root(Context& context, storage::Driver& driver, const storage::Volume& volume,
                         const database::InstanceRecord& record, const database::ImageRecord& image,
                         operations::Operation* operation, std::stop_token stop) {
    if (needs_plain_root(context, record))
        return unpack_to(context, driver, volume, image, operation, std::move(stop));
    LX_TRY(ensure_image_volume(context, driver, image, record.pool, operation, std::move(stop)));
    return driver.create_from_image(volume, image.fingerprint);
}

}  // namespace lxmgr::instances
