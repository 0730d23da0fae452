#include "lxd-daemon/devices/disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <optional>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/devices/mount_options.h"
#include "lxd-daemon/sys/block_device.h"
#include "lxd-daemon/sys/lock_mount.h"
#include "lxd-daemon/sys/mount.h"
#include "lxd-daemon/sys/path.h"
#include "profiles/config_keys.h"

namespace lxmgr::devices {
namespace {

std::unexpected<Error> bad_disk(const DeviceContext& context, const std::string& why) {
    return fail(Status::bad_request,
                fmt::format("Device '{}' of instance '{}': {}", context.device, context.instance, why));
}

/// Absolute, and without ".." that would make it mean another place than it shows.
bool is_plain_path(const std::string& path) {
    if (!path.starts_with('/') || has_control_chars(path)) return false;
    for (const auto& part : split(path, '/')) {
        if (part == "..") return false;
    }
    return true;
}

/// Where it is mounted: "path" may lack the slash of the instance's root.
std::string place_in(const DeviceContext& context) {
    const std::string path = context.key("path");
    return path.starts_with('/') ? path : "/" + path;
}

bool is_root(const DeviceContext& context) {
    const std::string path = context.key("path");
    return !path.empty() && path.find_first_not_of('/') == std::string::npos;
}

bool flag(const DeviceContext& context, const char* key, bool otherwise = false) {
    const std::string text = context.key(key);
    return text.empty() ? otherwise : profiles::parse_bool(text);
}

bool is_volume(const DeviceContext& context) { return !is_root(context) && !context.key("pool").empty(); }

VolumeUse use_of(const DeviceContext& context) {
    return {context.instance, context.device, context.key("pool"), context.key("source"),
            context.key("source.snapshot")};
}

bool is_tmpfs(const DeviceContext& context) { return context.key("source") == "tmpfs:"; }

struct Propagation {
    std::uint64_t flag = MS_PRIVATE;
    bool recursive = false;
};

Propagation propagation_of(const DeviceContext& context) {
    std::string word = context.key("propagation");
    Propagation out;
    out.recursive = word.starts_with('r');
    if (out.recursive) word.erase(0, 1);
    if (word == "shared") out.flag = MS_SHARED;
    if (word == "slave") out.flag = MS_SLAVE;
    if (word == "unbindable") out.flag = MS_UNBINDABLE;
    return out;
}

/// MOUNT_ATTR_* of readonly and raw.mount.options.
Result<MountOptions> options_of(const DeviceContext& context) {
    auto options = parse_mount_options(context.key("raw.mount.options"), is_tmpfs(context));
    if (!options) return bad_disk(context, options.error().message);
    if (flag(context, "readonly") || !context.key("source.snapshot").empty())
        options->attributes |= MOUNT_ATTR_RDONLY;
    // Device nodes below a path of the host are the host's devices: with shifted ids they would be the
    // instance's root's.
    options->attributes |= MOUNT_ATTR_NODEV;
    options->cleared &= ~options->attributes & ~std::uint64_t{MOUNT_ATTR__ATIME};
    if ((options->attributes & MOUNT_ATTR__ATIME) != 0) options->cleared |= MOUNT_ATTR__ATIME;
    return std::move(*options);
}

Result<> shift_ids(const DeviceContext& context, int mount) {
    LX_TRY_AS(const int user_namespace, context.idmaps.get(context.idmap));
    auto mapped = sys::set_idmap(mount, user_namespace);
    if (mapped || mapped.error().sys_errno != EINVAL) return mapped;
    return bad_disk(context, fmt::format("the file system of '{}' cannot shift ids: leave shift out",
                                         context.key("source")));
}

/// A detached clone of the mount that the source is on, with the source as its root.
Result<UniqueFd> make_bind(const DeviceContext& context, int source_fd, bool is_directory) {
    const bool recursive = flag(context, "recursive");
    LX_TRY_AS(const auto options, options_of(context));
    const Propagation propagation = propagation_of(context);
    const bool linked = propagation.flag == MS_SHARED || propagation.flag == MS_SLAVE;
    LX_TRY_AS(UniqueFd mount, linked ? sys::clone_linked_mount(source_fd, recursive)
                                     : sys::clone_mount(source_fd, "", recursive));
    LX_TRY(sys::change_attributes(mount.get(), options.attributes, options.cleared, recursive));
    if (flag(context, "shift") && !context.idmap.is_host()) LX_TRY(shift_ids(context, mount.get()));
    // Shared ones are slaves of the host's from here on: what an instance mounts never shows on the host.
    LX_TRY_AS(UniqueFd locked, sys::lock_mount(mount.get(), {is_directory, ""}));
    if (propagation.flag != MS_PRIVATE)
        LX_TRY(sys::set_propagation(locked.get(), propagation.flag, propagation.recursive));
    return locked;
}

/// The path by which the kernel is to look the device up. In a project with places of its own for sources,
/// what is behind a path may be another thing a moment later; elsewhere the device's name shows in the
/// instance.
Result<std::string> block_path(const DeviceContext& context, int source_fd) {
    const std::string by_fd = fmt::format("/proc/self/fd/{}", source_fd);
    if (context.surroundings.source_directories(context.instance)) return by_fd;
    char path[PATH_MAX];
    const ssize_t size = ::readlink(by_fd.c_str(), path, sizeof path);
    if (size < 0) return fail_errno("Reading", by_fd);
    return std::string(path, static_cast<std::size_t>(size));
}

/// The file system on a block device of the host's.
Result<UniqueFd> make_block_mount(const DeviceContext& context, int source_fd) {
    LX_TRY_AS(const auto options, options_of(context));
    LX_TRY_AS(const std::string path, block_path(context, source_fd));
    auto mount = sys::mount_block_device(path, options.attributes);
    if (!mount) return bad_disk(context, mount.error().message);
    if (flag(context, "shift") && !context.idmap.is_host()) LX_TRY(shift_ids(context, mount->get()));
    return sys::lock_mount(mount->get(), {});
}

/// A file system in memory, charged to the instance's processes that fill it.
Result<UniqueFd> make_tmpfs(const DeviceContext& context) {
    LX_TRY_AS(const auto options, options_of(context));
    LX_TRY_AS(auto tmpfs, sys::FsContext::open("tmpfs"));
    LX_TRY(tmpfs.set("source", "tmpfs"));
    LX_TRY(tmpfs.set("uid", std::to_string(context.idmap.host_uid(0))));
    LX_TRY(tmpfs.set("gid", std::to_string(context.idmap.host_gid(0))));
    for (const auto& [key, value] : options.of_tmpfs) {
        if (auto set = tmpfs.set(key, value); !set) return bad_disk(context, set.error().message);
    }
    LX_TRY(tmpfs.create());
    LX_TRY_AS(const UniqueFd mount, tmpfs.mount(static_cast<unsigned>(options.attributes)));
    return sys::lock_mount(mount.get(), {});
}

/// The files of a custom volume.
Result<UniqueFd> make_volume_mount(const DeviceContext& context) {
    LX_TRY_AS(const auto options, options_of(context));
    LX_TRY_AS(const UniqueFd mount, context.surroundings.mount_volume(use_of(context), context.idmap));
    LX_TRY(sys::change_attributes(mount.get(), options.attributes, options.cleared));
    return sys::lock_mount(mount.get(), {});
}

/// What is left of `path` beneath the directory, "." for itself; nullopt: it is elsewhere.
std::optional<std::string> rest_beneath(std::string directory, const std::string& path) {
    while (directory.ends_with('/')) directory.pop_back();
    if (!path.starts_with(directory + "/")) return path == directory ? std::optional(".") : std::nullopt;
    const auto begin = path.find_first_not_of('/', directory.size());
    return begin == std::string::npos ? "." : path.substr(begin);
}

Result<UniqueFd> open_source(const DeviceContext& context) {
    const UniqueFd root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) return fail_errno("Opening", "/");
    const std::string source = context.key("source");
    const auto directories = context.surroundings.source_directories(context.instance);
    if (!directories) return sys::open_in_root(root.get(), source, O_PATH);
    Result<UniqueFd> opened =
        fail(Status::forbidden,
             fmt::format("The source of disk device \"{}\" is forbidden in this project", context.device));
    for (const auto& directory : *directories) {
        const auto rest = rest_beneath(directory, source);
        if (!rest) continue;
        LX_TRY_AS(const UniqueFd allowed, sys::open_in_root(root.get(), directory, O_PATH | O_DIRECTORY));
        opened = sys::open_beneath(allowed.get(), *rest, O_PATH);
        if (opened) break;
    }
    return opened;
}

class Disk final : public DeviceType {
public:
    [[nodiscard]] bool hotplug() const override { return true; }

    Result<> validate(const DeviceContext& context) const override {
        if (is_root(context)) {
            const std::string pool = context.key("pool");
            if (context.surroundings.pool_exists(pool)) return {};
            return bad_disk(context, fmt::format("storage pool '{}' does not exist", pool));
        }
        if (!is_plain_path(place_in(context)))
            return bad_disk(context, fmt::format("path '{}' must have no '..'", context.key("path")));
        if (is_volume(context)) return validate_volume(context);
        if (!is_tmpfs(context) && !is_plain_path(context.key("source"))) {
            return bad_disk(context,
                            fmt::format("source '{}' must be an absolute path of the host, without '..'",
                                        context.key("source")));
        }
        LX_TRY(options_of(context));
        // The kernel maps ids of mounts one by one, and not of every file system: a tree could come out half
        // shifted.
        if (flag(context, "shift") && flag(context, "recursive"))
            return bad_disk(context, "shift and recursive cannot be combined");
        return {};
    }

    Result<api::ConfigMap> prepare(const DeviceContext&) const override { return api::ConfigMap{}; }

    Result<Started> start(const DeviceContext& context) const override {
        Started started;
        if (is_root(context)) return started;
        if (is_volume(context)) return start_volume(context);
        LX_TRY(validate(context));
        if (is_tmpfs(context)) {
            LX_TRY_AS(UniqueFd mount, make_tmpfs(context));
            started.attaches.push_back({std::move(mount), place_in(context), true});
            return started;
        }
        auto source = open_source(context);
        if (!source && source.error().status == Status::not_found) {
            if (!flag(context, "required", true)) return started;
            return bad_disk(context, fmt::format("source '{}' does not exist", context.key("source")));
        }
        if (!source) return std::unexpected(std::move(source).error());
        struct stat st{};
        if (::fstat(source->get(), &st) != 0) return fail_errno("fstat", context.key("source"));
        if (S_ISBLK(st.st_mode)) {
            LX_TRY_AS(UniqueFd mount, make_block_mount(context, source->get()));
            started.attaches.push_back({std::move(mount), context.key("path"), true});
            return started;
        }
        if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode) && !S_ISSOCK(st.st_mode)) {
            return bad_disk(context,
                            fmt::format("source '{}' is neither a directory, a file nor a block device",
                                        context.key("source")));
        }
        LX_TRY_AS(UniqueFd mount, make_bind(context, source->get(), S_ISDIR(st.st_mode)));
        started.attaches.push_back({std::move(mount), place_in(context), S_ISDIR(st.st_mode)});
        return started;
    }

    Result<> recover(const DeviceContext& context) const override {
        if (is_volume(context)) context.surroundings.note_volume(use_of(context));
        return {};
    }

    [[nodiscard]] std::span<const std::string_view> live_keys() const override {
        // Rates are the instance's cgroup's (instances/disk_rates.h), the size of a root is its volume's.
        static constexpr std::array<std::string_view, 5> kKeys{"limits.max", "limits.read", "limits.write",
                                                               "size", "user.*"};
        return kKeys;
    }
    Result<> update(const DeviceContext&, const DeviceContext&) const override { return {}; }
    [[nodiscard]] std::vector<Detach> attached(const DeviceContext& context) const override {
        if (is_root(context)) return {};
        return {{place_in(context), false}};
    }
    // The mount is in the instance's mount namespace alone, and goes with it.
    Result<api::ConfigMap> stop(const DeviceContext& context) const override {
        if (is_volume(context)) context.surroundings.release_volume(context.instance, context.device);
        return api::ConfigMap{};
    }
    Result<api::ConfigMap> remove(const DeviceContext&) const override { return api::ConfigMap{}; }

private:
    static Result<> validate_volume(const DeviceContext& context) {
        LX_TRY(options_of(context));
        auto found = context.surroundings.check_volume(use_of(context));
        if (found || !flag(context, "required", true)) return {};
        return bad_disk(context, found.error().message);
    }
    static Result<Started> start_volume(const DeviceContext& context) {
        Started started;
        LX_TRY(validate_volume(context));
        auto mount = make_volume_mount(context);
        if (mount) {
            started.attaches.push_back({std::move(*mount), place_in(context), true});
            return started;
        }
        context.surroundings.release_volume(context.instance, context.device);
        if (mount.error().status == Status::not_found && !flag(context, "required", true)) return started;
        return std::unexpected(std::move(mount).error());
    }
};

}  // namespace

const DeviceType& disk() {
    static const Disk type;
    return type;
}

}  // namespace lxmgr::devices
