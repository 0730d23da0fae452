#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/instances/cloud_keys.h"
#include "lxd-daemon/instances/guest.h"
#include "lxd-daemon/instances/service_impl.h"

/// What an instance asks about itself. Reads are from memory.
namespace lxmgr::instances {
void Service::serve_guests(GuestServer server) { impl_->context.guest_sockets.serve(std::move(server)); }

Result<api::ConfigMap> Service::guest_config(const std::string& name) const {
    LX_TRY_AS(const auto record, require(name));
    auto config = expand(impl_->context, *record).config;
    // A config that cannot be merged has been refused; one of an older daemon is told as it is.
    if (auto merged = config; merge_ssh_keys(merged)) config = std::move(merged);
    std::erase_if(config, [](const auto& entry) { return !is_guest_key(entry.first); });
    return config;
}

Result<api::DeviceMap> Service::guest_devices(const std::string& name) const {
    LX_TRY_AS(const auto record, require(name));
    auto devices = expand(impl_->context, *record).devices;
    for (auto& [device, keys] : devices) {
        const auto address = record->config.find("volatile." + device + ".hwaddr");
        if (api::value_of(keys, "type") == "nic" && address != record->config.end())
            keys.emplace("hwaddr", address->second);
    }
    return devices;
}

Result<std::string> Service::guest_meta_data(const std::string& name) const {
    LX_TRY_AS(const auto record, require(name));
    const auto config = expand(impl_->context, *record).config;
    return fmt::format("#cloud-config\ninstance-id: {}\nlocal-hostname: {}\n{}",
                       api::value_of(record->config, "volatile.cloud-init.instance-id", name),
                       api::instance_name(name), api::value_of(config, "user.meta-data"));
}

Result<> Service::set_guest_ready(const std::string& name, bool ready) {
    auto& context = impl_->context;
    const LiveState live = context.live.get(name);
    if (live.status == api::StatusCode::stopped)
        return fail(Status::bad_request, "The instance is not running");
    if (live.guest_ready == ready) return {};
    // Lost with the machine's power, as the run is.
    const Time at = ready ? now() : Time{};
    const database::ConfigChanges changes{
        {kReadyKey, ready ? std::optional<std::string>("true") : std::nullopt},
        {kReadyAtKey, ready ? std::optional(to_rfc3339(at)) : std::nullopt}};
    LX_TRY(context.rows().change_config(name, changes, false));
    context.live.set_guest_ready(name, ready, at);
    if (ready) lifecycle("instance-ready", name, "");
    return {};
}

bool Service::is_guest_ready(const std::string& name) const {
    return impl_->context.live.get(name).guest_ready;
}

}  // namespace lxmgr::instances
