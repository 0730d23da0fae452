#include "lxd-daemon/devices/host_nodes.h"

#include <fmt/format.h>

#include "lxd-daemon/devices/hot_nodes.h"
#include "profiles/config_keys.h"

namespace lxmgr::devices {
namespace {

using IsMeant = bool (*)(const api::ConfigMap& keys, const HostDevice& device);

class HostNodes final : public DeviceType {
public:
    HostNodes(const char* what, IsMeant is_meant, bool comes_and_goes)
        : what_(what), is_meant_(is_meant), comes_and_goes_(comes_and_goes) {}
    [[nodiscard]] bool hotplug() const override { return true; }
    Result<> validate(const DeviceContext&) const override { return {}; }
    Result<api::ConfigMap> prepare(const DeviceContext&) const override { return api::ConfigMap{}; }

    Result<Started> start(const DeviceContext& context) const override {
        const HotNodes nodes = present(context);
        const bool needed = !comes_and_goes_ || profiles::parse_bool(context.key("required"));
        if (nodes.empty() && needed) {
            return fail(Status::bad_request,
                        fmt::format("Device '{}' of instance '{}': the host has no such {}", context.device,
                                    context.instance, what_));
        }
        return start_with_nodes(context, nodes);
    }
    Result<> recover(const DeviceContext&) const override { return {}; }
    [[nodiscard]] std::span<const std::string_view> live_keys() const override { return {}; }
    Result<> update(const DeviceContext&, const DeviceContext&) const override { return {}; }
    Result<api::ConfigMap> stop(const DeviceContext& context) const override {
        return note_nodes(context, {});
    }
    [[nodiscard]] std::vector<Detach> attached(const DeviceContext& context) const override {
        return detach_nodes(context);
    }
    Result<api::ConfigMap> remove(const DeviceContext& context) const override { return stop(context); }

    [[nodiscard]] bool follows_host(const DeviceContext&) const override { return comes_and_goes_; }
    Result<HotNodes> wanted_nodes(const DeviceContext& context) const override { return present(context); }

private:
    HotNodes present(const DeviceContext& context) const {
        HotNodes nodes;
        for (const auto& device : list_host_devices()) {
            if (is_meant_(context.config, device))
                nodes["/dev/" + device.node] = number_of(device.block, device.major, device.minor);
        }
        return nodes;
    }

    const char* what_;
    IsMeant is_meant_;
    bool comes_and_goes_;
};

}  // namespace

const DeviceType& usb() {
    static const HostNodes type("USB device", is_meant_by_usb, true);
    return type;
}
const DeviceType& unix_hotplug() {
    static const HostNodes type("device", is_meant_by_unix_hotplug, true);
    return type;
}
const DeviceType& gpu() {
    static const HostNodes type("GPU", is_meant_by_gpu, false);
    return type;
}

}  // namespace lxmgr::devices
