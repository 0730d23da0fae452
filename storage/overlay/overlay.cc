#include "storage/overlay/overlay.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <cstdio>
#include <tuple>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/sys/mount.h"
#include "storage/carried_map.h"
#include "storage/limits/image_file.h"
#include "storage/overlay/evident.h"
#include "storage/tree/copy.h"
#include "storage/tree/list.h"
#include "storage/tree/metadata.h"
#include "storage/tree/usage.h"

namespace lxmgr::storage {
namespace {

constexpr const char* kUpper = "upper";
constexpr const char* kWork = "work";

bool kernel_is_at_least(unsigned major, unsigned minor) {
    utsname info{};
    unsigned has_major = 0, has_minor = 0;
    if (::uname(&info) != 0 || std::sscanf(info.release, "%u.%u", &has_major, &has_minor) != 2) return false;
    return has_major > major || (has_major == major && has_minor >= minor);
}

Result<UniqueFd> make_subdirectory(int dir_fd, const char* name) {
    if (::mkdirat(dir_fd, name, 0700) != 0) return fail_errno_at("mkdir", dir_fd, name);
    return open_tree_root(dir_fd, name);
}

/// Detached mount of what holds the upper and work directories.
Result<UniqueFd> clone_volume(int volume_fd) {
    if (has_image(volume_fd)) return mount_image(volume_fd);
    return sys::clone_mount(volume_fd, "");
}

}  // namespace

Result<std::unique_ptr<Driver>> OverlayDriver::open(const PoolConfig& config, sys::IdmapCache& idmaps) {
    LX_TRY(PoolDirectory::check(config));
    auto driver = std::make_unique<OverlayDriver>(config, idmaps);
    driver->abilities_.idmapped_layers = kernel_is_at_least(5, 19);
    return driver;
}

Result<> OverlayDriver::open_pool() {
    LX_TRY(pool_.open());
    limits_.open();
    if (auto tried = try_overlay(); !tried) {
        // A pool that just came into being goes again; one with volumes stays, whatever is wrong with the
        // host now.
        std::ignore = pool_.remove();
        Error error =
            in(fmt::format("The file system of pool '{}' cannot hold an overlay, use driver 'dir' there",
                           pool_.pool_name()),
               std::move(tried).error());
        error.status = Status::bad_request;
        return std::unexpected(std::move(error));
    }
    return {};
}

Result<> OverlayDriver::try_overlay() {
    LX_TRY_AS(const Draft draft, pool_.begin());
    LX_TRY(make_subdirectory(draft.fd(), "lower"));
    LX_TRY(make_subdirectory(draft.fd(), kUpper));
    LX_TRY(make_subdirectory(draft.fd(), kWork));
    OverlayLayers layers;
    layers.trial = true;
    LX_TRY_AS(layers.lower, sys::clone_mount(draft.fd(), "lower"));
    LX_TRY_AS(layers.volume, sys::clone_mount(draft.fd(), ""));
    LX_TRY(mount_overlay(layers, abilities_, staging_));
    return {};
}

Result<> OverlayDriver::delete_pool() {
    LX_TRY(layers_.recover());
    return pool_.remove();
}

Result<> OverlayDriver::recover() {
    LX_TRY(pool_.recover());
    return layers_.recover();
}

bool OverlayDriver::has_volume(const Volume& volume) {
    return volume.type == VolumeType::image ? layers_.has_image(volume.name)
                                            : pool_.open_volume(volume).has_value();
}

Result<> OverlayDriver::create_volume(const Volume& volume, const Filler& fill) {
    if (volume.type != VolumeType::image) return trees_.create(volume, fill);
    LX_TRY_AS(Draft draft, trees_.make(volume, fill, true));
    return layers_.add_image(draft, volume.name);
}

Result<> OverlayDriver::create_from_image(const Volume& volume, const std::string& image_fingerprint) {
    if (has_volume(volume)) {
        return fail(Status::conflict,
                    fmt::format("{} already exists in pool '{}'", describe(volume), pool_.pool_name()));
    }
    LX_TRY_AS(const std::string layer, layers_.image_layer(image_fingerprint));
    LX_TRY_AS(const UniqueFd layer_fd, layers_.open_layer(layer));
    LX_TRY_AS(const UniqueFd image_root, open_tree_root(layer_fd.get(), "rootfs"));
    LX_TRY_AS(Draft draft, pool_.begin());
    failpoint("storage.overlay.create.begun");
    LX_TRY_AS(const Contents contents, limits_.begin(draft, volume));
    LX_TRY(make_subdirectory(contents.directory.get(), kWork));
    LX_TRY_AS(const UniqueFd upper, make_subdirectory(contents.directory.get(), kUpper));
    failpoint("storage.overlay.create.upper");
    // The upper directory is what the guest sees as "/": it must look like the image's.
    struct stat st{};
    if (::fstat(image_root.get(), &st) != 0) return fail_errno_at("fstat", image_root.get(), "");
    LX_TRY(copy_metadata(image_root.get(), st, upper.get(), nullptr));
    LX_TRY(limits_.finish(draft, volume, contents));
    LX_TRY(layers_.publish_user(draft, layer, volume));
    failpoint("storage.overlay.create.published");
    return {};
}

Result<> OverlayDriver::create_copy(const Volume& volume, const Volume& source,
                                    const std::function<void()>& source_read) {
    LX_TRY(pool_.require_absent(volume));
    LX_TRY_AS(const UniqueFd directory, pool_.open_volume(source));
    LX_TRY_AS(const auto layer, Layers::base_of(directory.get()));
    if (!layer) return trees_.copy(volume, source, source_read);
    LX_TRY_AS(const Contents contents, open_contents(directory.get()));
    LX_TRY_AS(const UniqueFd from, open_tree_root(contents.directory.get(), kUpper));
    LX_TRY_AS(const auto carried, carried_map(directory.get()));
    LX_TRY_AS(Draft draft, pool_.begin());
    failpoint("storage.overlay.copy.begun");
    if (carried) LX_TRY(set_carried_map(draft.fd(), *carried));
    LX_TRY_AS(const Contents copy, limits_.begin(draft, volume));
    LX_TRY(make_subdirectory(copy.directory.get(), kWork));
    LX_TRY_AS(const UniqueFd upper, make_subdirectory(copy.directory.get(), kUpper));
    const auto copied = copy_tree(from.get(), upper.get(), nullptr);
    if (!copied) return std::unexpected(limits_.explain(volume, copy, copied.error()));
    if (source_read) source_read();
    failpoint("storage.overlay.copy.copied");
    // What is old and safe in the source must not be lost with the machine's power in its copy.
    LX_TRY_AS(const auto entries, list_directory(upper.get()));
    if (!entries.empty() && ::syncfs(upper.get()) != 0) return fail_errno_at("syncfs", upper.get(), "");
    LX_TRY(limits_.finish(draft, volume, copy));
    LX_TRY(layers_.publish_user(draft, *layer, volume));
    failpoint("storage.overlay.copy.published");
    return {};
}

Result<> OverlayDriver::delete_volume(const Volume& volume) {
    if (volume.type == VolumeType::image) return layers_.remove_image(volume.name);
    auto directory = pool_.open_volume(volume);
    if (!directory && directory.error().status == Status::not_found) return {};
    if (!directory) return std::unexpected(std::move(directory).error());
    LX_TRY_AS(const auto layer, Layers::base_of(directory->get()));
    LX_TRY(trees_.remove(volume));
    failpoint("storage.overlay.delete.discarded");
    return layer ? layers_.release(*layer) : Result<>{};
}

Result<MountedVolume> OverlayDriver::mount(const Volume& volume, const MountRequest& request) {
    if (volume.type == VolumeType::image) {
        LX_TRY_AS(const std::string layer, layers_.image_layer(volume.name));
        LX_TRY_AS(const UniqueFd directory, layers_.open_layer(layer));
        if (request.idmap == nullptr) {
            LX_TRY_AS(UniqueFd root, sys::clone_mount(directory.get(), "rootfs"));
            return finish_mount(std::move(root), request);
        }
        LX_TRY_AS(auto mapped,
                  clone_idmapped(directory.get(), "rootfs", *request.idmap, idmaps_, abilities_));
        if (mapped) return finish_mount(std::move(*mapped), request);
        LX_TRY_AS(const std::string shifted, layers_.shifted_tree(layer, *request.idmap));
        LX_TRY_AS(UniqueFd root, sys::clone_mount(directory.get(), shifted));
        return finish_mount(std::move(root), request);
    }
    LX_TRY_AS(const UniqueFd directory, pool_.open_volume(volume));
    LX_TRY_AS(const auto layer, Layers::base_of(directory.get()));
    if (!layer) return trees_.mount(volume, request);
    auto root = mount_on(volume, *layer, request);
    if (!root) return std::unexpected(in("Mounting " + describe(volume), std::move(root).error()));
    return finish_mount(*std::move(root), request);
}

Result<UniqueFd> OverlayDriver::mount_on(const Volume& volume, const std::string& layer,
                                         const MountRequest& request) {
    const sys::IdMap* const map = request.idmap;
    LX_TRY_AS(UniqueFd directory, pool_.open_volume(volume));
    LX_TRY_AS(auto carried, carried_map(directory.get()));
    const sys::IdMap* const on_disk = carried ? &*carried : nullptr;
    if (as_on_disk(carried, map)) {
        LX_TRY_AS(const auto layers, plain_layers(layer, directory.get(), on_disk));
        return mount_overlay(layers, abilities_, staging_);
    }
    // An upper may carry a map's ids since the host had an older kernel; they go back to 0-based now.
    if (carried && (map->is_host() || (abilities_.idmapped_mounts && abilities_.idmapped_layers))) {
        LX_TRY(require_rewriting(request));
        LX_TRY(rewrite_upper(volume, directory.get(), on_disk, nullptr));
        return mount_on(volume, layer, request);
    }
    LX_TRY_AS(const auto mapped, idmapped_layers(layer, directory.get(), *map));
    if (mapped) return mount_overlay(*mapped, abilities_, staging_);
    LX_TRY(require_rewriting(request));
    LX_TRY(rewrite_upper(volume, directory.get(), on_disk, map));
    LX_TRY_AS(directory, pool_.open_volume(volume));
    LX_TRY_AS(const auto layers, plain_layers(layer, directory.get(), map));
    return mount_overlay(layers, abilities_, staging_);
}

Result<std::optional<OverlayLayers>> OverlayDriver::idmapped_layers(const std::string& layer, int volume_fd,
                                                                    const sys::IdMap& map) {
    if (!abilities_.idmapped_layers) return std::nullopt;
    LX_TRY_AS(const UniqueFd layer_fd, layers_.open_layer(layer));
    LX_TRY_AS(auto lower, clone_idmapped(layer_fd.get(), "rootfs", map, idmaps_, abilities_));
    LX_TRY_AS(UniqueFd volume, clone_volume(volume_fd));
    LX_TRY_AS(auto upper, set_map(std::move(volume), map, idmaps_, abilities_));
    if (!lower || !upper) return std::nullopt;
    return OverlayLayers{std::move(*lower), std::move(*upper), map.host_uid(0), map.host_gid(0)};
}

Result<OverlayLayers> OverlayDriver::plain_layers(const std::string& layer, int volume_fd,
                                                  const sys::IdMap* map) {
    std::string tree = "rootfs";
    if (map != nullptr) {
        LX_TRY_AS(tree, layers_.shifted_tree(layer, *map));
    }
    OverlayLayers layers;
    LX_TRY_AS(const UniqueFd layer_fd, layers_.open_layer(layer));
    LX_TRY_AS(layers.lower, sys::clone_mount(layer_fd.get(), tree));
    LX_TRY_AS(layers.volume, clone_volume(volume_fd));
    return layers;
}

Result<> OverlayDriver::rewrite_upper(const Volume& volume, int volume_fd, const sys::IdMap* from,
                                      const sys::IdMap* to) {
    const IdShift shift(from, to);
    Volume same = volume;
    LX_TRY_AS(same.size_bytes, limits_.limit(volume_fd));
    return remake(same, volume_fd, &shift, to);
}

Result<> OverlayDriver::remake(const Volume& volume, int volume_fd, const IdShift* shift,
                               const sys::IdMap* carried) {
    LX_TRY_AS(const auto layer, Layers::base_of(volume_fd));
    LX_TRY_AS(const Contents contents, open_contents(volume_fd));
    LX_TRY_AS(const UniqueFd old_upper, open_tree_root(contents.directory.get(), kUpper));
    LX_TRY_AS(const auto project, limits_.project(volume_fd));
    LX_TRY_AS(Draft draft, pool_.begin());
    if (carried != nullptr) LX_TRY(set_carried_map(draft.fd(), *carried));
    LX_TRY(Layers::set_base(draft.fd(), layer.value()));
    LX_TRY_AS(const Contents fresh, limits_.begin(draft, volume));
    LX_TRY(make_subdirectory(fresh.directory.get(), kWork));
    LX_TRY_AS(const UniqueFd upper, make_subdirectory(fresh.directory.get(), kUpper));
    const auto copied = copy_tree(old_upper.get(), upper.get(), shift);
    if (!copied) return std::unexpected(limits_.explain(volume, fresh, copied.error()));
    LX_TRY(limits_.finish(draft, volume, fresh));
    failpoint("storage.overlay.rewrite.copied");
    LX_TRY(pool_.replace(draft, pool_.fd(volume.type), volume.name));
    limits_.forget(project);
    return {};
}

Result<> OverlayDriver::resize_volume(const Volume& volume, bool in_use) {
    LX_TRY_AS(const UniqueFd directory, pool_.open_volume(volume));
    LX_TRY_AS(const auto layer, Layers::base_of(directory.get()));
    if (!layer) return trees_.resize(volume, in_use);
    LX_TRY_AS(const bool done, change_limit(limits_, volume, directory.get(), in_use));
    if (done) return {};
    LX_TRY_AS(const auto carried, carried_map(directory.get()));
    return remake(volume, directory.get(), nullptr, carried ? &*carried : nullptr);
}

Result<std::string> OverlayDriver::evident_base(const Volume& volume) {
    LX_TRY_AS(const UniqueFd directory, pool_.open_volume(volume));
    LX_TRY_AS(const auto layer, Layers::base_of(directory.get()));
    if (!layer) return std::string();
    LX_TRY_AS(std::string image, layers_.image_of(*layer));
    LX_TRY_AS(const UniqueFd layer_fd, layers_.open_layer(*layer));
    LX_TRY_AS(const UniqueFd lower, open_tree_root(layer_fd.get(), "rootfs"));
    LX_TRY_AS(const Contents contents, open_contents(directory.get()));
    LX_TRY_AS(const UniqueFd upper, open_tree_root(contents.directory.get(), kUpper));
    LX_TRY_AS(const bool evident, differs_evidently(upper.get(), lower.get()));
    return evident ? image : std::string();
}

Result<std::uint64_t> OverlayDriver::usage_bytes(const Volume& volume) {
    UniqueFd directory;
    const char* tree = "rootfs";
    if (volume.type == VolumeType::image) {
        LX_TRY_AS(const std::string layer, layers_.image_layer(volume.name));
        LX_TRY_AS(directory, layers_.open_layer(layer));
    } else {
        LX_TRY_AS(directory, pool_.open_volume(volume));
        LX_TRY_AS(const auto layer, Layers::base_of(directory.get()));
        if (layer) tree = kUpper;
        LX_TRY_AS(const auto counted, limits_.usage(directory.get()));
        if (counted) return *counted;
    }
    LX_TRY_AS(const UniqueFd root, open_tree_root(directory.get(), tree));
    return tree_usage_bytes(root.get());
}

}  // namespace lxmgr::storage
