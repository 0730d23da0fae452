#include "lxd-daemon/instances/kept_files/place.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/instances/pools.h"
#include "storage/tree/file_data.h"

namespace lxmgr::instances {
namespace {

std::vector<std::string> image_files(database::Database& database) {
    std::vector<std::string> out;
    for (const auto& image : database.images().list()) {
        out.push_back(image->fingerprint);
        if (image->split) out.push_back(image->fingerprint + ".rootfs");
    }
    return out;
}

std::vector<std::string> backup_files(database::Database& database) {
    std::vector<std::string> out;
    for (const auto& backup : database.backups().list_all()) out.push_back(backup->file);
    return out;
}

constexpr std::array kKinds = {
    KeptKind{Kept::images, "storage.images_volume", "images", image_files},
    KeptKind{Kept::backups, "storage.backups_volume", "backups", backup_files},
};

std::string mount_point(const std::string& state_dir, const KeptKind& kind, std::int64_t volume) {
    return fmt::format("{}/{}-{}", kept_mounts(state_dir), kind.directory, volume);
}

/// Detached.
Result<UniqueFd> mount_kept_volume(Pools& pools, const database::VolumeRecord& volume) {
    LX_TRY_AS(const DriverPtr driver, pools.driver(volume.pool));
    storage::MountRequest request;
    request.options = api::value_of(volume.config, "block.mount_options");
    LX_TRY_AS(auto mounted, driver->mount({storage::VolumeType::custom, volume.volume}, request));
    return std::move(mounted.root);
}

Result<std::vector<std::string>> kept_entries(const std::string& directory) {
    std::vector<std::string> out;
    std::error_code error;
    for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end;
         at.increment(error))
        out.push_back(at->path().filename());
    if (!error || error == std::errc::no_such_file_or_directory) return out;
    errno = error.value();
    return fail_errno("Reading", directory);
}

Result<> copy_kept_file(storage::FileCopier& copier, const std::string& from, const std::string& to) {
    const UniqueFd source(::open(from.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!source) return errno == ENOENT ? Result<>{} : fail_errno("Opening", from);
    const UniqueFd copy(::open(to.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!copy) return fail_errno("Creating", to);
    struct stat st{};
    if (::fstat(source.get(), &st) != 0) return fail_errno("fstat", from);
    LX_TRY(copier.copy(source.get(), copy.get(), static_cast<std::uint64_t>(st.st_size)));
    if (::fsync(copy.get()) != 0) return fail_errno("fsync", to);
    return {};
}

}  // namespace

std::span<const KeptKind> kept_kinds() { return kKinds; }

const KeptKind& kept_kind(Kept kind) { return *std::ranges::find(kKinds, kind, &KeptKind::kind); }

std::pair<std::string, std::string> split_kept_volume(const std::string& value) {
    const auto slash = value.find('/');
    if (slash == std::string::npos) return {};
    return {value.substr(0, slash), value.substr(slash + 1)};
}

std::string kept_mounts(const std::string& state_dir) { return state_dir + "/mounts"; }

KeptPlacePtr KeptPlace::in_state(const std::string& state_dir, const KeptKind& kind) {
    KeptPlacePtr out(new KeptPlace);
    out->directory_ = fmt::format("{}/{}", state_dir, kind.directory);
    out->temporary_ = state_dir + "/tmp";
    return out;
}

KeptPlacePtr KeptPlace::unusable(const std::string& state_dir, const KeptKind& kind, std::int64_t volume,
                                 std::string trouble) {
    KeptPlacePtr out(new KeptPlace);
    const std::string base = fmt::format("{}/{}", mount_point(state_dir, kind, volume), kind.directory);
    out->directory_ = base + "/files";
    out->temporary_ = base + "/tmp";
    out->volume_ = volume;
    out->trouble_ = std::move(trouble);
    return out;
}

Result<KeptPlacePtr> KeptPlace::on_volume(Pools& pools, const std::string& state_dir, const KeptKind& kind,
                                          const database::VolumeRecord& volume) {
    LX_TRY_AS(const UniqueFd mounted, mount_kept_volume(pools, volume));
    const std::string at = mount_point(state_dir, kind, volume.id);
    LX_TRY(lxmgr::make_directory(kept_mounts(state_dir), 0700));
    LX_TRY(lxmgr::make_directory(at, 0700));
    KeptPlacePtr out = unusable(state_dir, kind, volume.id, "");
    LX_TRY_AS(out->mount_, sys::attach_mount(mounted.get(), at));
    return out;
}

KeptPlace::~KeptPlace() {
    if (const std::string at = mount_.target(); !at.empty()) {
        mount_.unmount();
        ::rmdir(at.c_str());
    }
    gone_.set_value();
}

Result<> KeptPlace::begin() const {
    if (volume_ == 0) return lxmgr::make_directory(directory_, 0700);
    LX_TRY(remove_tree(temporary_));
    const std::string base = temporary_.substr(0, temporary_.rfind('/'));
    for (const std::string& path : {base, directory_, temporary_}) LX_TRY(lxmgr::make_directory(path, 0700));
    LX_TRY(sync_directory(base));
    return sync_directory(mount_.target());
}

Result<> KeptPlace::copy(const KeptPlace& from, const std::vector<std::string>& files) const {
    storage::FileCopier copier;
    for (const auto& name : files) {
        LX_TRY(copy_kept_file(copier, from.directory() + "/" + name, directory_ + "/" + name));
        failpoint("instances.kept_files.file");
    }
    return sync_directory(directory_);
}

Result<> KeptPlace::keep_only(const std::vector<std::string>& files) const {
    LX_TRY_AS(const auto names, kept_entries(directory_));
    for (const auto& name : names) {
        if (std::ranges::find(files, name) == files.end()) LX_TRY(remove_tree(directory_ + "/" + name));
    }
    return {};
}

Result<> clear_kept_files(database::Database& database, Pools& pools, const std::string& state_dir,
                          const KeptKind& kind, std::int64_t volume) {
    if (volume == 0) {
        const auto place = KeptPlace::in_state(state_dir, kind);
        LX_TRY(place->keep_only({}));
        return path_exists(place->directory()) ? sync_directory(place->directory()) : Result<>{};
    }
    const auto row = database.volumes().find_id(volume);
    if (!row) return {};
    LX_TRY_AS(const UniqueFd mounted, mount_kept_volume(pools, *row));
    const std::string root = fmt::format("/proc/self/fd/{}", mounted.get());
    LX_TRY(remove_tree(fmt::format("{}/{}", root, kind.directory)));
    return sync_directory(root);
}

}  // namespace lxmgr::instances
