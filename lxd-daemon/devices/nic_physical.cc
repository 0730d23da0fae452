#include "lxd-daemon/devices/nic_physical.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <array>
#include <map>
#include <mutex>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/devices/nic_identity.h"
#include "lxd-daemon/devices/nic_vlan.h"
#include "network/physical.h"

namespace lxmgr::devices {
namespace {

/// The namespaces that interfaces are lent to. Held, so that what ends with the instance is not its
/// namespace, which would take virtual interfaces with it and leave others with the name that they had
/// inside.
class Namespaces {
public:
    void put(const std::string& name, UniqueFd netns) {
        const std::lock_guard lock(mutex_);
        held_[name] = std::move(netns);
    }
    UniqueFd take(const std::string& name) {
        const std::lock_guard lock(mutex_);
        auto node = held_.extract(name);
        return node ? std::move(node.mapped()) : UniqueFd();
    }

private:
    std::mutex mutex_;
    std::map<std::string, UniqueFd> held_;
};

Namespaces& namespaces() {
    static Namespaces all;
    return all;
}

std::string name_of(const DeviceContext& context) { return context.instance + "/" + context.device; }

constexpr const char* kKeptLink[] = {"host_name", "last_state.hwaddr", "last_state.kind", "last_state.mtu"};

network::HostLink host_of(const DeviceContext& context) {
    return {context.volatile_value("host_name"), context.volatile_value("last_state.hwaddr"),
            context.volatile_value("last_state.kind"),
            static_cast<int>(parse_uint(context.volatile_value("last_state.mtu")).value_or(0))};
}

std::string inside_of(const DeviceContext& context) {
    return to_lower(first_of(context.key("hwaddr"), context.volatile_value("last_state.hwaddr")));
}

/// Of the interface that is lent: a VLAN's that is not made yet will be as its parent.
Result<network::HostLink> host_link_of(const DeviceContext& context) {
    LX_TRY_AS(auto host, network::host_link(parent_of(context)));
    if (host) return std::move(*host);
    LX_TRY_AS(auto parent, network::host_link(context.key("parent")));
    if (!parent || vlan_of(context).id == 0)
        return bad_nic(context,
                       fmt::format("there is no interface '{}' on the host, or another instance has it",
                                   context.key("parent")));
    parent->name = parent_of(context);
    parent->kind = "vlan";
    return std::move(*parent);
}

class Physical final : public DeviceType {
public:
    [[nodiscard]] bool hotplug() const override { return true; }
    // The parent may be plugged in later: it is looked for when the instance starts.
    Result<> validate(const DeviceContext& context) const override {
        LX_TRY(mtu_of(context));
        return {};
    }
    Result<api::ConfigMap> prepare(const DeviceContext&) const override { return api::ConfigMap{}; }

    Result<Started> start(const DeviceContext& context) const override {
        LX_TRY_AS(const network::HostLink host, host_link_of(context));
        Started started;
        LX_TRY_AS(started.volatile_changes, keep_vlan(context));
        const std::string values[] = {host.name, host.hwaddr, host.kind, std::to_string(host.mtu)};
        for (std::size_t i = 0; i < std::size(kKeptLink); ++i)
            started.volatile_changes[context.volatile_key(kKeptLink[i])] = values[i];
        network::Loan loan;
        loan.guest_name = context.key("name");
        loan.hwaddr = to_lower(context.key("hwaddr"));
        LX_TRY_AS(loan.mtu, mtu_of(context));
        started.in_network = [parent = host.name, nic = nic_on_vlan(context), vlan = vlan_of(context), loan,
                              name = name_of(context)](int netns_fd) mutable -> Result<> {
            loan.netns_fd = netns_fd;
            UniqueFd netns(::fcntl(netns_fd, F_DUPFD_CLOEXEC, 0));
            if (!netns) return fail_errno("fcntl", "F_DUPFD_CLOEXEC");
            namespaces().put(name, std::move(netns));
            failpoint("devices.physical_lend");
            return with_vlan(nic, vlan, [&] { return network::lend_link(parent, loan); });
        };
        return started;
    }

    Result<> recover(const DeviceContext& context) const override {
        LX_TRY_AS(UniqueFd netns, context.surroundings.open_netns(context.instance));
        namespaces().put(name_of(context), std::move(netns));
        return {};
    }
    [[nodiscard]] std::span<const std::string_view> live_keys() const override {
        static constexpr std::array<std::string_view, 1> kKeys{"user.*"};
        return kKeys;
    }
    Result<> update(const DeviceContext&, const DeviceContext&) const override { return {}; }

    Result<api::ConfigMap> stop(const DeviceContext& context) const override {
        const network::HostLink host = host_of(context);
        if (host.name.empty()) return release_vlan(context);
        if (const UniqueFd netns = namespaces().take(name_of(context)))
            LX_TRY(network::take_link_back(netns.get(), inside_of(context), host));
        LX_TRY(network::restore_link(inside_of(context), host));
        LX_TRY_AS(api::ConfigMap changes, release_vlan(context));
        for (const char* key : kKeptLink) changes[context.volatile_key(key)] = "";
        return changes;
    }
    // stop() takes it back.
    [[nodiscard]] std::vector<Detach> attached(const DeviceContext&) const override { return {}; }
    Result<api::ConfigMap> remove(const DeviceContext& context) const override { return stop(context); }
};

}  // namespace

const DeviceType& nic_physical() {
    static const Physical type;
    return type;
}

}  // namespace lxmgr::devices
