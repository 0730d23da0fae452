#include "storage/overlay/layers.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <tuple>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/strings.h"
#include "storage/carried_map.h"
#include "storage/tree/copy.h"
#include "storage/tree/list.h"
#include "storage/tree_volumes.h"

namespace lxmgr::storage {
namespace {

constexpr const char* kBase = "base";
constexpr const char* kShifted = "shifted";

/// Last component of what a symlink says; nullopt when there is no such link.
Result<std::optional<std::string>> layer_of(int dir_fd, const std::string& name) {
    std::string text(PATH_MAX, '\0');
    const ssize_t n = ::readlinkat(dir_fd, name.c_str(), text.data(), text.size());
    if (n < 0 && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
    if (n < 0) return fail_errno_at("readlink", dir_fd, name);
    text.resize(static_cast<std::size_t>(n));
    return text.substr(text.rfind('/') + 1);
}

Result<> sync(int dir_fd) {
    if (::fsync(dir_fd) != 0) return fail_errno_at("fsync", dir_fd, "");
    return {};
}

bool exists(int dir_fd, const std::string& name) {
    struct stat st{};
    return ::fstatat(dir_fd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
}

}  // namespace

Result<> Layers::add_image(Draft& draft, const std::string& fingerprint) {
    const std::shared_lock lock(mutex_);
    const int images = pool_.fd(VolumeType::image);
    const std::string layer = random_hex(16), target = "../layers/" + layer;
    if (exists(images, fingerprint)) {
        return fail(Status::conflict, fmt::format("Image volume '{}' already exists in pool '{}'",
                                                  fingerprint, pool_.pool_name()));
    }
    LX_TRY(pool_.publish(draft, pool_.layers_fd(), layer));
    failpoint("storage.overlay.image.layer");
    Revert undo;
    undo.add([&] { std::ignore = pool_.discard(pool_.layers_fd(), layer); });
    if (::symlinkat(target.c_str(), images, fingerprint.c_str()) != 0)
        return fail_errno_at("symlink", images, fingerprint);
    failpoint("storage.overlay.image.linked");
    undo.add([&] { ::unlinkat(images, fingerprint.c_str(), 0); });
    LX_TRY(sync(images));
    undo.commit();
    return {};
}

Result<> Layers::remove_image(const std::string& fingerprint) {
    const std::unique_lock lock(mutex_);
    const int images = pool_.fd(VolumeType::image);
    LX_TRY_AS(const auto layer, layer_of(images, fingerprint));
    if (!layer) return {};
    if (::unlinkat(images, fingerprint.c_str(), 0) != 0)
        return fail_errno_at("Removing", images, fingerprint);
    failpoint("storage.overlay.image.unlinked");
    return remove_if_unused(*layer);
}

bool Layers::has_image(const std::string& fingerprint) const {
    return exists(pool_.fd(VolumeType::image), fingerprint);
}

Result<std::string> Layers::image_of(const std::string& layer) const {
    LX_TRY_AS(const auto images, pool_.list(pool_.fd(VolumeType::image)));
    for (const auto& image : images) {
        LX_TRY_AS(const auto own, layer_of(pool_.fd(VolumeType::image), image));
        if (own == layer) return image;
    }
    return std::string();
}

Result<std::string> Layers::image_layer(const std::string& fingerprint) const {
    LX_TRY_AS(auto layer, layer_of(pool_.fd(VolumeType::image), fingerprint));
    if (layer) return *std::move(layer);
    return fail(Status::not_found,
                fmt::format("Image volume '{}' not found in pool '{}'", fingerprint, pool_.pool_name()));
}

Result<std::optional<std::string>> Layers::base_of(int volume_fd) { return layer_of(volume_fd, kBase); }

Result<> Layers::set_base(int volume_fd, const std::string& layer) {
    const std::string target = "../../layers/" + layer;
    if (::symlinkat(target.c_str(), volume_fd, kBase) != 0) return fail_errno_at("symlink", volume_fd, kBase);
    return {};
}

Result<> Layers::publish_user(Draft& draft, const std::string& layer, const Volume& volume) {
    LX_TRY(set_base(draft.fd(), layer));
    failpoint("storage.overlay.create.based");
    const std::shared_lock lock(mutex_);
    if (!exists(pool_.layers_fd(), layer)) return fail(Status::not_found, "The image was deleted meanwhile");
    return pool_.publish(draft, pool_.fd(volume.type), volume.name);
}

Result<> Layers::release(const std::string& layer) {
    const std::unique_lock lock(mutex_);
    return remove_if_unused(layer);
}

Result<> Layers::recover() {
    const std::unique_lock lock(mutex_);
    LX_TRY_AS(const auto layers, pool_.list(pool_.layers_fd()));
    for (const auto& layer : layers) LX_TRY(remove_if_unused(layer));
    return {};
}

Result<bool> Layers::is_used(const std::string& layer) const {
    // Images first: there are fewer, and a layer that has its image needs no look at the containers.
    LX_TRY_AS(const auto images, pool_.list(pool_.fd(VolumeType::image)));
    for (const auto& image : images) {
        LX_TRY_AS(const auto used, layer_of(pool_.fd(VolumeType::image), image));
        if (used == layer) return true;
    }
    for (const auto type : {VolumeType::container, VolumeType::snapshot}) {
        LX_TRY_AS(const auto volumes, pool_.list(pool_.fd(type)));
        for (const auto& volume : volumes) {
            LX_TRY_AS(const auto used, layer_of(pool_.fd(type), volume + "/" + kBase));
            if (used == layer) return true;
        }
    }
    return false;
}

Result<> Layers::remove_if_unused(const std::string& layer) {
    LX_TRY_AS(const bool used, is_used(layer));
    return used ? Result<>{} : pool_.discard(pool_.layers_fd(), layer);
}

Result<UniqueFd> Layers::open_layer(const std::string& layer) const {
    UniqueFd fd(::openat(pool_.layers_fd(), layer.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return fail_errno_at("Opening", pool_.layers_fd(), layer);
    return fd;
}

Result<std::string> Layers::shifted_tree(const std::string& layer, const sys::IdMap& map) {
    LX_TRY_AS(const std::string name, map_to_name(map));
    const std::string path = std::string(kShifted) + "/" + name + "/rootfs";
    LX_TRY_AS(const UniqueFd directory, open_layer(layer));
    const std::lock_guard lock(shifting_);  // one copy at a time, and never the same twice
    if (exists(directory.get(), path)) return path;
    if (::mkdirat(directory.get(), kShifted, 0100) != 0 && errno != EEXIST)
        return fail_errno_at("mkdir", directory.get(), kShifted);
    LX_TRY_AS(const UniqueFd shifted, open_tree_root(directory.get(), kShifted));
    LX_TRY_AS(const UniqueFd from, open_tree_root(directory.get(), "rootfs"));
    LX_TRY_AS(Draft draft, pool_.begin());
    if (::mkdirat(draft.fd(), "rootfs", 0700) != 0) return fail_errno_at("mkdir", draft.fd(), "rootfs");
    LX_TRY_AS(const UniqueFd root, open_tree_root(draft.fd(), "rootfs"));
    const IdShift shift(nullptr, &map);
    LX_TRY(copy_tree(from.get(), root.get(), &shift));
    failpoint("storage.overlay.shift.copied");
    if (::syncfs(root.get()) != 0) return fail_errno_at("syncfs", root.get(), "");
    LX_TRY(pool_.publish(draft, shifted.get(), name));
    return path;
}

}  // namespace lxmgr::storage
