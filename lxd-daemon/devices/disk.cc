#include "lxd-daemon/devices/disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <array>

#include "lxd-daemon/base/strings.h"
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

bool is_root(const DeviceContext& context) {
    const std::string path = context.key("path");
    return !path.empty() && path.find_first_not_of('/') == std::string::npos;
}

bool flag(const DeviceContext& context, const char* key, bool otherwise = false) {
    const std::string text = context.key(key);
    return text.empty() ? otherwise : profiles::parse_bool(text);
}

/// A detached clone of the mount that the source is on, with the source as its root.
Result<UniqueFd> make_mount(const DeviceContext& context, int source_fd) {
    const bool recursive = flag(context, "recursive");
    LX_TRY_AS(UniqueFd mount, sys::clone_mount(source_fd, "", recursive));
    // Device nodes below a path of the host are the host's devices: with shifted ids they would be the
    // instance's root's.
    const std::uint64_t attributes =
        MOUNT_ATTR_NODEV | (flag(context, "readonly") ? std::uint64_t{MOUNT_ATTR_RDONLY} : 0);
    LX_TRY(sys::change_attributes(mount.get(), attributes, 0, recursive));
    if (!flag(context, "shift") || context.idmap.is_host()) return mount;
    LX_TRY_AS(const int user_namespace, context.idmaps.get(context.idmap));
    auto mapped = sys::set_idmap(mount.get(), user_namespace);
    if (mapped) return mount;
    if (mapped.error().sys_errno != EINVAL) return std::unexpected(std::move(mapped).error());
    return bad_disk(context, fmt::format("the file system of '{}' cannot shift ids: leave shift out",
                                         context.key("source")));
}

class Disk final : public DeviceType {
public:
    [[nodiscard]] bool hotplug() const override { return false; }

    Result<> validate(const DeviceContext& context) const override {
        if (is_root(context)) {
            const std::string pool = context.key("pool");
            if (context.surroundings.pool_exists(pool)) return {};
            return bad_disk(context, fmt::format("storage pool '{}' does not exist", pool));
        }
        if (!is_plain_path(context.key("path")))
            return bad_disk(context,
                            fmt::format("path '{}' must be absolute, without '..'", context.key("path")));
        if (!is_plain_path(context.key("source"))) {
            return bad_disk(context,
                            fmt::format("source '{}' must be an absolute path of the host, without '..'",
                                        context.key("source")));
        }
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
        LX_TRY(validate(context));
        const UniqueFd root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!root) return fail_errno("Opening", "/");
        auto source = sys::open_in_root(root.get(), context.key("source"), O_PATH);
        if (!source && source.error().status == Status::not_found) {
            if (!flag(context, "required", true)) return started;
            return bad_disk(context, fmt::format("source '{}' does not exist", context.key("source")));
        }
        if (!source) return std::unexpected(std::move(source).error());
        struct stat st{};
        if (::fstat(source->get(), &st) != 0) return fail_errno("fstat", context.key("source"));
        if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode) && !S_ISSOCK(st.st_mode)) {
            return bad_disk(
                context, fmt::format("source '{}' is neither a directory nor a file", context.key("source")));
        }
        LX_TRY_AS(UniqueFd mount, make_mount(context, source->get()));
        started.attaches.push_back({std::move(mount), context.key("path"), S_ISDIR(st.st_mode)});
        return started;
    }

    Result<> recover(const DeviceContext&) const override { return {}; }

    [[nodiscard]] std::span<const std::string_view> live_keys() const override {
        static constexpr std::array<std::string_view, 1> kKeys{"user.*"};
        return kKeys;
    }
    Result<> update(const DeviceContext&, const DeviceContext&) const override { return {}; }
    // The mount is in the instance's mount namespace alone, and goes with it.
    Result<api::ConfigMap> stop(const DeviceContext&) const override { return api::ConfigMap{}; }
    Result<api::ConfigMap> remove(const DeviceContext&) const override { return api::ConfigMap{}; }
};

}  // namespace

const DeviceType& disk() {
    static const Disk type;
    return type;
}

}  // namespace lxmgr::devices
