#include "network/bridge.h"

#include <fmt/format.h>

#include <chrono>
#include <functional>
#include <mutex>

#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "network/address_choice.h"
#include "network/bridge_config.h"
#include "network/dhcp_release.h"
#include "network/dns_probe.h"
#include "network/dnsmasq.h"
#include "network/dnsmasq_user.h"
#include "network/firewall.h"
#include "network/host_entries.h"
#include "network/lease_file.h"
#include "network/lease_list.h"
#include "network/links.h"
#include "network/ports.h"
#include "network/routes.h"
#include "network/sysctls.h"

namespace lxmgr::network {
namespace {

/// A loaded machine is slow; one that is wedged does not answer at all.
constexpr int kProbes = 3;
constexpr std::chrono::milliseconds kProbeTime{1000};

/// Names of projects may begin with a digit.
bool is_label_of_claim(const std::string& part) { return is_dns_label("x" + part.substr(0, 62)); }

/// A claim goes into a file of dnsmasq: only what parses may.
Result<> check_claim(const AddressClaim& claim) {
    const auto parts = split(claim.instance, '_');
    const bool good = parts.size() <= 2 && std::ranges::all_of(parts, is_label_of_claim) &&
                      parse_mac(claim.hwaddr) && (claim.ipv4.empty() || parse_ipv4(claim.ipv4)) &&
                      (claim.ipv6.empty() || parse_ipv6(claim.ipv6));
    if (good) return {};
    return fail(Status::bad_request,
                fmt::format("Invalid address claim of '{}', device '{}': hwaddr '{}', ipv4 '{}', ipv6 '{}'",
                            claim.instance, claim.device, claim.hwaddr, claim.ipv4, claim.ipv6));
}

class KernelBridge final : public Bridge {
public:
    KernelBridge(std::string name, std::string state_dir)
        : name_(std::move(name)),
          state_dir_(std::move(state_dir)),
          dnsmasq_(name_, state_dir_),
          hosts_(state_dir_ + "/dnsmasq.hosts", state_dir_) {}

    Result<> apply(const api::ConfigMap& config, const std::vector<AddressClaim>& claims) override;
    Result<> set_policy(const FirewallPolicy& policy, bool later) override;
    Result<> take_down() override {
        const std::lock_guard lock(mutex_);
        return remove_live();
    }
    Result<> remove() override;
    Result<std::string> choose_ipv4(const AddressClaim& claim,
                                    const std::vector<AddressClaim>& taken) override;
    Result<std::string> choose_ipv6(const AddressClaim& claim,
                                    const std::vector<AddressClaim>& taken) override;
    Result<> set_claim(const AddressClaim& claim) override;
    Result<> drop_claim(const AddressClaim& claim) override;
    Result<std::vector<Lease>> leases(const std::vector<AddressClaim>& claims) override;
    [[nodiscard]] pid_t server_pid() const override {
        const std::lock_guard lock(mutex_);
        return dnsmasq_.pid();
    }
    [[nodiscard]] UniqueFd server_pidfd() const override {
        const std::lock_guard lock(mutex_);
        return dnsmasq_.pidfd();
    }
    Result<> check_server() override;

private:
    [[nodiscard]] std::string alias() const { return "lxmgr:" + state_dir_; }
    [[nodiscard]] bool is_ours(const Link& link) const;
    Result<bool> apply_link(const BridgeConfig& config);
    Result<> apply_ports(const BridgeConfig& config);
    Result<> apply_forwarding(const BridgeConfig& config);
    Result<> apply_dnsmasq(const BridgeConfig& config, const std::vector<AddressClaim>& claims,
                           bool must_restart);
    Result<> remove_link();
    Result<> remove_live();
    Result<BridgeConfig> applied() const;
    std::vector<FileLease> file_leases() const;
    void release(const BridgeConfig& config, const std::function<bool(const FileLease&)>& which);

    std::string name_;
    std::string state_dir_;
    mutable std::mutex mutex_;
    std::optional<BridgeConfig> config_;  ///< of the last apply()
    FirewallPolicy policy_;
    Dnsmasq dnsmasq_;
    HostEntries hosts_;
};

/// By its alias; or, when a crash came between making and marking it, by the MAC that only our config has.
bool KernelBridge::is_ours(const Link& link) const {
    if (link.kind != "bridge") return false;
    return link.alias == alias() || (link.alias.empty() && config_ && link.hwaddr == config_->hwaddr);
}

/// True when the link is a new one: then sockets bound to an older one are dead.
Result<bool> KernelBridge::apply_link(const BridgeConfig& config) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    const BridgeLink wanted{name_, alias(), config.hwaddr, config.mtu, config.multicast_snooping};
    LX_TRY_AS(std::optional<Link> link, find_link(socket, name_));
    if (link && !is_ours(*link)) {
        return fail(
            Status::conflict,
            fmt::format("Interface '{}' exists on this host and is not a bridge of this daemon", name_));
    }
    const bool is_new = !link;
    if (is_new) {
        LX_TRY(create_bridge(socket, wanted));
        failpoint("network.bridge_created");
        LX_TRY_AS(link, find_link(socket, name_));
        if (!link)
            return fail(Status::internal, fmt::format("Bridge '{}' was deleted by somebody else", name_));
    }
    if (link->alias != wanted.alias) LX_TRY(mark_link(socket, wanted));
    if (config.ipv6.address) LX_TRY(harden_ipv6(name_));
    LX_TRY(set_link_up(socket, link->index, wanted));
    std::vector<Ipv4Net> ipv4;
    std::vector<Ipv6Net> ipv6;
    if (config.ipv4.address) ipv4.push_back(*config.ipv4.address);
    if (config.ipv6.address) ipv6.push_back(*config.ipv6.address);
    LX_TRY(set_addresses(socket, link->index, ipv4, ipv6));
    std::vector<AnyNet> routes;
    for (const auto& net : config.ipv4.routes)
        routes.push_back(AnyNet::of(Ipv4Net{net.network(), net.prefix}));
    for (const auto& net : config.ipv6.routes)
        routes.push_back(AnyNet::of(Ipv6Net{net.network(), net.prefix}));
    LX_TRY(set_routes(socket, link->index, routes, kNetworkRoutes));
    return is_new;
}

Result<> KernelBridge::apply_ports(const BridgeConfig& config) {
    LX_TRY(apply_tunnels(name_, alias(), config.mtu, config.tunnels));
    return apply_external_interfaces(name_, state_dir_, config.external_interfaces);
}

Result<> KernelBridge::apply_forwarding(const BridgeConfig& config) {
    if (config.ipv4.address && config.ipv4.routing) LX_TRY(enable_ipv4_forwarding());
    if (config.ipv6.address && config.ipv6.routing) LX_TRY(enable_ipv6_forwarding());
    return {};
}

Result<> KernelBridge::apply_dnsmasq(const BridgeConfig& config, const std::vector<AddressClaim>& claims,
                                     bool must_restart) {
    LX_TRY_AS(const bool stale, hosts_.sync(claims, config));
    failpoint("network.hosts_written");
    if (!config.ipv4.address && !config.ipv6.address) return dnsmasq_.stop();
    LX_TRY(check_reachable(hosts_.directory()));
    LX_TRY(dnsmasq_.run(dnsmasq_arguments(name_, state_dir_, config), must_restart));
    if (stale) dnsmasq_.reload();
    return {};
}

Result<> KernelBridge::apply(const api::ConfigMap& config, const std::vector<AddressClaim>& claims) {
    for (const auto& claim : claims) LX_TRY(check_claim(claim));
    LX_TRY_AS(const BridgeConfig wanted, parse_bridge_config(name_, config));
    if (wanted.hwaddr == Mac{}) {
        return fail(Status::bad_request,
                    fmt::format("Network '{}' has no MAC address: its config is not complete", name_));
    }
    const std::lock_guard lock(mutex_);
    config_ = wanted;
    LX_TRY(make_directories(state_dir_, 0711));
    LX_TRY_AS(const bool is_new, apply_link(wanted));
    failpoint("network.link_applied");
    LX_TRY(apply_forwarding(wanted));
    LX_TRY(apply_firewall(name_, wanted, policy_));
    failpoint("network.firewall_applied");
    LX_TRY(apply_dnsmasq(wanted, claims, is_new));
    // Last: an interface of the host that is gone does not keep the network from working.
    LX_TRY(apply_ports(wanted));
    failpoint("network.applied");
    return {};
}

Result<> KernelBridge::set_policy(const FirewallPolicy& policy, bool later) {
    const std::lock_guard lock(mutex_);
    if (config_ && !later) LX_TRY(apply_firewall(name_, *config_, policy));
    policy_ = policy;
    failpoint("network.policy_set");
    return {};
}

Result<> KernelBridge::remove_link() {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const std::optional<Link> link, find_link(socket, name_));
    if (!link || !is_ours(*link)) return {};
    return delete_link(name_);
}

Result<> KernelBridge::remove_live() {
    LX_TRY(dnsmasq_.stop());
    failpoint("network.dnsmasq_stopped");
    LX_TRY(apply_tunnels(name_, alias(), 0, {}));
    LX_TRY(remove_link());
    failpoint("network.link_removed");
    LX_TRY(remove_firewall(name_));
    failpoint("network.firewall_removed");
    config_.reset();
    return {};
}

Result<> KernelBridge::remove() {
    const std::lock_guard lock(mutex_);
    LX_TRY(remove_live());
    LX_TRY(hosts_.remove_all());
    for (const char* file : {"dnsmasq.leases", "host-entry.new", "external-interfaces"})
        LX_TRY(remove_tree(fmt::format("{}/{}", state_dir_, file)));
    return {};
}

Result<BridgeConfig> KernelBridge::applied() const {
    if (!config_) return fail(Status::unavailable, fmt::format("Network '{}' is not up", name_));
    return *config_;
}

std::vector<FileLease> KernelBridge::file_leases() const {
    const auto text = read_file(state_dir_ + "/dnsmasq.leases");
    if (!text) return {};  // none yet
    return parse_leases(*text,
                        std::chrono::duration_cast<std::chrono::seconds>(now().time_since_epoch()).count());
}

/// Makes dnsmasq forget IPv4 leases. The packet is on its way before anything later; a lost one only means
/// that the address is free when the lease ends.
void KernelBridge::release(const BridgeConfig& config, const std::function<bool(const FileLease&)>& which) {
    if (!config.ipv4.address) return;
    for (const FileLease& lease : file_leases()) {
        if (!std::holds_alternative<std::uint32_t>(lease.address) || !which(lease)) continue;
        static_cast<void>(release_lease(name_, lease, config.ipv4.address->address));
    }
}

Result<std::string> KernelBridge::choose_ipv4(const AddressClaim& claim,
                                              const std::vector<AddressClaim>& taken) {
    const std::lock_guard lock(mutex_);
    LX_TRY_AS(const BridgeConfig config, applied());
    if (!config.serves_ipv4()) return std::string();
    const auto held = parse_ipv4(claim.ipv4);
    if (held && config.ipv4.address->contains(*held) && *held != config.ipv4.address->address)
        return claim.ipv4;
    const auto own = parse_mac(claim.hwaddr);
    std::vector<std::uint32_t> used;
    for (const auto& other : taken) {
        const bool same = other.instance == claim.instance && other.device == claim.device;
        if (const auto address = parse_ipv4(other.ipv4); address && !same) used.push_back(*address);
    }
    for (const auto& lease : file_leases()) {
        const auto* address = std::get_if<std::uint32_t>(&lease.address);
        if (address != nullptr && lease.hwaddr != own) used.push_back(*address);
    }
    auto address = choose_address(claim.instance, config, std::move(used));
    if (!address) return std::unexpected(in(fmt::format("Network '{}'", name_), std::move(address).error()));
    return format_ipv4(*address);
}

Result<std::string> KernelBridge::choose_ipv6(const AddressClaim& claim,
                                              const std::vector<AddressClaim>& taken) {
    const std::lock_guard lock(mutex_);
    LX_TRY_AS(const BridgeConfig config, applied());
    if (!config.serves_ipv6()) return std::string();
    const auto held = parse_ipv6(claim.ipv6);
    if (held && config.ipv6.address->contains(*held) && *held != config.ipv6.address->address)
        return claim.ipv6;
    std::vector<Ipv6> used;
    for (const auto& other : taken) {
        const bool same = other.instance == claim.instance && other.device == claim.device;
        if (const auto address = parse_ipv6(other.ipv6); address && !same) used.push_back(*address);
    }
    auto address = choose_address_v6(claim.instance, config, std::move(used));
    if (!address) return std::unexpected(in(fmt::format("Network '{}'", name_), std::move(address).error()));
    return format_ipv6(*address);
}

Result<> KernelBridge::set_claim(const AddressClaim& claim) {
    LX_TRY(check_claim(claim));
    const std::lock_guard lock(mutex_);
    LX_TRY_AS(const BridgeConfig config, applied());
    LX_TRY_AS(const bool replaced, hosts_.write(claim, config));
    failpoint("network.claim_written");
    const bool serves = config.ipv4.address || config.ipv6.address;
    // Nobody tells us when dnsmasq dies: the next NIC that needs it brings it back.
    if (serves && !dnsmasq_.alive()) return dnsmasq_.run(dnsmasq_arguments(name_, state_dir_, config), false);
    if (replaced) dnsmasq_.reload();
    // An address that somebody else still leases would not be given to the NIC that owns it now.
    const auto own = parse_mac(claim.hwaddr);
    const auto address = parse_ipv4(claim.ipv4);
    release(config, [&](const FileLease& lease) {
        return address && std::get<std::uint32_t>(lease.address) == *address && lease.hwaddr != own;
    });
    return {};
}

Result<> KernelBridge::drop_claim(const AddressClaim& claim) {
    const std::lock_guard lock(mutex_);
    LX_TRY_AS(const bool existed, hosts_.erase(claim));
    if (!config_) return {};
    if (existed) dnsmasq_.reload();
    const auto own = parse_mac(claim.hwaddr);
    const auto address = parse_ipv4(claim.ipv4);
    release(*config_, [&](const FileLease& lease) {
        return (own && lease.hwaddr == own) ||
               (address && std::get<std::uint32_t>(lease.address) == *address);
    });
    return {};
}

Result<std::vector<Lease>> KernelBridge::leases(const std::vector<AddressClaim>& claims) {
    const std::lock_guard lock(mutex_);
    LX_TRY_AS(const BridgeConfig config, applied());
    return list_leases(name_, config, claims, file_leases());
}

Result<> KernelBridge::check_server() {
    std::optional<AnyAddress> address;
    pid_t pid = 0;
    {
        const std::lock_guard lock(mutex_);
        if (!config_) return {};
        if (config_->ipv6.address) address = config_->ipv6.address->address;
        if (config_->ipv4.address) address = config_->ipv4.address->address;
        pid = dnsmasq_.alive() ? dnsmasq_.pid() : 0;
    }
    if (!address) return {};
    for (int attempt = 0; pid != 0 && attempt < kProbes; ++attempt) {
        if (dns_answers(*address, kProbeTime)) return {};
    }
    const std::lock_guard lock(mutex_);
    // Meanwhile it may have been replaced, or the network removed.
    if (!config_ || (dnsmasq_.alive() && dnsmasq_.pid() != pid)) return {};
    if (dnsmasq_.alive()) dnsmasq_.kill();
    return dnsmasq_.run(dnsmasq_arguments(name_, state_dir_, *config_), true);
}

}  // namespace

Result<std::unique_ptr<Bridge>> Bridge::open(const std::string& name, const std::string& state_dir) {
    LX_TRY(check_network_name(name));
    // Both end up in the link's alias (IFALIASZ is 256) and in the arguments of dnsmasq, which splits some at
    // commas.
    if (!state_dir.starts_with('/') || state_dir.size() > 200 || has_control_chars(state_dir) ||
        state_dir.contains(',')) {
        return fail(Status::bad_request,
                    fmt::format("State directory '{}' of network '{}' must be an absolute path of at most "
                                "200 characters without commas",
                                state_dir, name));
    }
    return std::make_unique<KernelBridge>(name, state_dir);
}

}  // namespace lxmgr::network
