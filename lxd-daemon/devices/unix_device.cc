#include "lxd-daemon/devices/unix_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <array>
#include <optional>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/devices/hot_nodes.h"
#include "lxd-daemon/devices/node.h"
#include "lxd-daemon/sys/path.h"
#include "profiles/config_keys.h"

namespace lxmgr::devices {
namespace {

std::unexpected<Error> bad_device(const DeviceContext& context, const std::string& why) {
    return fail(Status::bad_request,
                fmt::format("Device '{}' of instance '{}': {}", context.device, context.instance, why));
}

std::string first_of(const DeviceContext& context, const char* key, const char* other) {
    const std::string value = context.key(key);
    return value.empty() ? context.key(other) : value;
}

std::string path_inside(const DeviceContext& context) { return first_of(context, "path", "source"); }
std::string path_outside(const DeviceContext& context) { return first_of(context, "source", "path"); }

class UnixDevice final : public DeviceType {
public:
    explicit UnixDevice(mode_t type) : type_(type) {}
    [[nodiscard]] bool hotplug() const override { return true; }

    Result<> validate(const DeviceContext& context) const override {
        if (context.key("major").empty() == context.key("minor").empty()) return {};
        return bad_device(context, "major and minor go together");
    }

    Result<api::ConfigMap> prepare(const DeviceContext&) const override { return api::ConfigMap{}; }

    Result<Started> start(const DeviceContext& context) const override {
        LX_TRY(validate(context));
        Started started;
        LX_TRY_AS(const auto device, find_device(context));
        if (follows_host(context)) return start_with_nodes(context, nodes_of(context, device));
        if (!device) return started;
        Node node = node_with_keys(context);
        node.type = type_;
        node.device = *device;
        LX_TRY_AS(UniqueFd mount, make_node_mount(node, context.idmap));
        started.attaches.push_back({std::move(mount), path_inside(context), false});
        return started;
    }

    // The node is in the instance's mount namespace alone, and goes with it.
    Result<> recover(const DeviceContext&) const override { return {}; }
    [[nodiscard]] std::span<const std::string_view> live_keys() const override {
        // Rates are the instance's cgroup's (instances/disk_rates.h).
        static constexpr std::array<std::string_view, 2> kRates{"limits.read", "limits.write"};
        if (type_ != S_IFBLK) return {};
        return kRates;
    }
    Result<> update(const DeviceContext&, const DeviceContext&) const override { return {}; }
    Result<api::ConfigMap> stop(const DeviceContext& context) const override {
        return follows_host(context) ? note_nodes(context, {}) : api::ConfigMap{};
    }
    [[nodiscard]] std::vector<Detach> attached(const DeviceContext& context) const override {
        return {{path_inside(context), true}};
    }
    Result<api::ConfigMap> remove(const DeviceContext& context) const override { return stop(context); }

    /// One that need not be there may come later.
    [[nodiscard]] bool follows_host(const DeviceContext& context) const override {
        const std::string required = context.key("required");
        return !required.empty() && !profiles::parse_bool(required) && context.key("major").empty();
    }
    [[nodiscard]] Result<HotNodes> wanted_nodes(const DeviceContext& context) const override {
        LX_TRY_AS(const auto device, find_device(context));
        return nodes_of(context, device);
    }

private:
    HotNodes nodes_of(const DeviceContext& context, const std::optional<dev_t>& device) const {
        if (!device) return {};
        return {{path_inside(context), number_of(type_ == S_IFBLK, major(*device), minor(*device))}};
    }
    /// Of the keys, else of the host's node; nullopt: it is absent and need not be there.
    Result<std::optional<dev_t>> find_device(const DeviceContext& context) const {
        const auto major_number = parse_uint(context.key("major"));
        const auto minor_number = parse_uint(context.key("minor"));
        if (major_number && minor_number) {
            return std::optional(
                makedev(static_cast<unsigned>(*major_number), static_cast<unsigned>(*minor_number)));
        }
        const std::string path = path_outside(context);
        const UniqueFd root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!root) return fail_errno("Opening", "/");
        const auto source = sys::open_in_root(root.get(), path, O_PATH);
        if (!source && source.error().status == Status::not_found) {
            const std::string required = context.key("required");
            if (!required.empty() && !profiles::parse_bool(required)) return std::optional<dev_t>();
            return bad_device(context, fmt::format("'{}' does not exist on the host", path));
        }
        if (!source) return std::unexpected(source.error());
        struct stat st{};
        if (::fstat(source->get(), &st) != 0) return fail_errno("fstat", path);
        if ((st.st_mode & S_IFMT) == type_) return std::optional(st.st_rdev);
        return bad_device(
            context, fmt::format("'{}' is no {} device", path, type_ == S_IFCHR ? "character" : "block"));
    }

    mode_t type_;
};

}  // namespace

const DeviceType& unix_char() {
    static const UnixDevice type(S_IFCHR);
    return type;
}

const DeviceType& unix_block() {
    static const UnixDevice type(S_IFBLK);
    return type;
}

}  // namespace lxmgr::devices
