#include "lxd-daemon/instances/service_impl.h"
#include "network/address_watch.h"
#include "network/bridge.h"

namespace lxmgr::instances {
namespace {

Result<> check_runs(const LiveState& live) {
    if (live.status != api::StatusCode::stopped) return {};
    return fail(Status::bad_request, "Instance is not running");
}

Result<std::vector<std::string>> addresses_of(const Context& context, const std::string& name) {
    LX_TRY_AS(const UniqueFd netns, context.deps.runtime.open_netns(name));
    LX_TRY_AS(const auto interfaces, network::interface_states_of(netns.get()));
    std::vector<std::string> out;
    for (const auto& interface : interfaces) {
        for (const auto& address : interface.addresses) {
            if (address.scope == "global") out.push_back(address.address);
        }
    }
    return out;
}

}  // namespace

Result<UniqueFd> Service::watch_addresses(const std::string& name) const {
    LX_TRY(require(name));
    LX_TRY(check_runs(impl_->context.live.get(name)));
    impl_->context.live.wait_not_starting(name);
    LX_TRY_AS(const UniqueFd netns, deps_.runtime.open_netns(name));
    return network::watch_addresses(netns.get());
}

Result<Waited> Service::look(const std::string& name, bool addresses) const {
    LX_TRY(require(name));
    const LiveState live = impl_->context.live.get(name);
    LX_TRY(check_runs(live));
    Waited seen;
    seen.ready_at = ready_at(live);
    seen.met = seen.ready_at != Time{};
    if (!addresses) return seen;
    LX_TRY_AS(seen.addresses, addresses_of(impl_->context, name));
    seen.met = !seen.addresses.empty();
    return seen;
}

}  // namespace lxmgr::instances
