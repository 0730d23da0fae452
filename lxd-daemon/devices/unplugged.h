#pragma once
#include "lxd-daemon/devices/device.h"

namespace lxmgr::devices {

/// A device that is configured but not plugged in (`attached` is false): it has what it keeps for life, such
/// as a MAC address, and the instance has nothing of it.
class Unplugged final : public DeviceType {
public:
    explicit Unplugged(const DeviceType& type) : type_(type) {}
    [[nodiscard]] bool hotplug() const override { return type_.hotplug(); }
    Result<> validate(const DeviceContext& context) const override { return type_.validate(context); }
    Result<api::ConfigMap> prepare(const DeviceContext& context) const override {
        return type_.prepare(context);
    }
    Result<Started> start(const DeviceContext& context) const override;
    Result<> recover(const DeviceContext&) const override { return {}; }
    [[nodiscard]] std::span<const std::string_view> live_keys() const override { return {}; }
    Result<> update(const DeviceContext&, const DeviceContext&) const override { return {}; }
    Result<api::ConfigMap> stop(const DeviceContext& context) const override { return type_.stop(context); }
    [[nodiscard]] std::vector<Detach> attached(const DeviceContext&) const override { return {}; }
    Result<api::ConfigMap> remove(const DeviceContext& context) const override {
        return type_.remove(context);
    }

private:
    const DeviceType& type_;
};

/// Whether `attached` keeps the device out of the instance.
bool is_unplugged(const api::ConfigMap& config);

}  // namespace lxmgr::devices
