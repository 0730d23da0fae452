#include "lxd-daemon/devices/none.h"

namespace lxmgr::devices {
namespace {

class None final : public DeviceType {
public:
    [[nodiscard]] bool hotplug() const override { return true; }
    Result<> validate(const DeviceContext&) const override { return {}; }
    Result<api::ConfigMap> prepare(const DeviceContext&) const override { return api::ConfigMap{}; }
    Result<Started> start(const DeviceContext&) const override { return Started{}; }
    Result<> recover(const DeviceContext&) const override { return {}; }
    [[nodiscard]] std::span<const std::string_view> live_keys() const override { return {}; }
    Result<> update(const DeviceContext&, const DeviceContext&) const override { return {}; }
    Result<api::ConfigMap> stop(const DeviceContext&) const override { return api::ConfigMap{}; }
    [[nodiscard]] std::vector<Detach> attached(const DeviceContext&) const override { return {}; }
    Result<api::ConfigMap> remove(const DeviceContext&) const override { return api::ConfigMap{}; }
};

}  // namespace

const DeviceType& none() {
    static const None type;
    return type;
}

}  // namespace lxmgr::devices
