#include "lxd-daemon/devices/proxy.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/devices/proxy_listen.h"
#include "lxd-daemon/devices/proxy_process.h"
#include "lxd-daemon/sys/enter.h"
#include "network/ip.h"
#include "network/proxy_nat.h"

namespace lxmgr::devices {
namespace {

using profiles::ProxyAddress;
using ProxyKind = ProxyAddress::Kind;

constexpr std::string_view kLockPrefix = "proxy.";

std::string lock_file(const DeviceContext& context) {
    return fmt::format("{}/{}{}", context.surroundings.run_dir(context.instance), kLockPrefix,
                       context.device);
}

bool is_nat(const DeviceContext& context) { return profiles::parse_bool(context.key("nat")); }

/// What the keys say, independent of the context that they came in.
struct Plan {
    ProxyAddress listen, connect;
    bool in_instance = false;  ///< the listening side
    bool proxy_protocol = false;
    ListenPlace place;                       ///< root_fd is filled in later
    std::uint32_t run_uid = 0, run_gid = 0;  ///< of the forwarder, on the host
    std::string label, lock;
};

std::uint32_t proxy_number(const DeviceContext& context, const char* key) {
    return static_cast<std::uint32_t>(parse_uint(context.key(key)).value_or(0));
}

Result<Plan> make_plan(const DeviceContext& context) {
    Plan plan;
    LX_TRY_AS(plan.listen, profiles::parse_proxy_address(context.key("listen")));
    LX_TRY_AS(plan.connect, profiles::parse_proxy_address(context.key("connect")));
    const std::string bind = context.key("bind");
    plan.in_instance = !bind.empty() && bind != "host";
    plan.proxy_protocol = profiles::parse_bool(context.key("proxy_protocol"));
    if (const std::string mode = context.key("mode"); !mode.empty())
        plan.place.mode = static_cast<unsigned>(std::strtoul(mode.c_str(), nullptr, 8)) & 0777U;
    plan.place.host_uid = proxy_number(context, "uid");
    plan.place.host_gid = proxy_number(context, "gid");
    plan.run_uid = proxy_number(context, "security.uid");
    plan.run_gid = proxy_number(context, "security.gid");
    // Ids are those of the side that they are used on.
    if (plan.in_instance) {
        plan.place.host_uid = context.idmap.host_uid(plan.place.host_uid);
        plan.place.host_gid = context.idmap.host_gid(plan.place.host_gid);
    } else {
        plan.run_uid = context.idmap.host_uid(plan.run_uid);
        plan.run_gid = context.idmap.host_gid(plan.run_gid);
    }
    plan.label = fmt::format("{}/{}", context.instance, context.device);
    plan.lock = lock_file(context);
    return plan;
}

/// Another device of the instance serves one of the ports for IPv4: so two share a port, one for each family.
bool leaves_ipv4_to_others(const DeviceContext& context, const Plan& plan) {
    const auto is_rival = [&](const auto& entry) {
        DeviceContext other = context;
        other.config = entry.second;
        if (other.key("type") != "proxy" || is_nat(other)) return false;
        const auto theirs = make_plan(other);
        return theirs && theirs->listen.kind == plan.listen.kind && theirs->in_instance == plan.in_instance &&
               network::parse_ipv4(theirs->listen.address) &&
               std::ranges::find_first_of(theirs->listen.ports, plan.listen.ports) !=
                   theirs->listen.ports.end();
    };
    return std::ranges::any_of(context.surroundings.devices_of(context.instance), is_rival);
}

const char* kind_word(ProxyKind kind) {
    switch (kind) {
        case ProxyKind::tcp:
            return "tcp";
        case ProxyKind::udp:
            return "udp";
        case ProxyKind::unix_path:
            return "unix";
        case ProxyKind::unix_abstract:
            return "abstract";
    }
    return "";
}

std::vector<std::string> arguments_of(const Plan& plan, std::size_t listeners) {
    std::vector<std::string> out{std::to_string(plan.run_uid), std::to_string(plan.run_gid),
                                 plan.proxy_protocol ? "1" : "0"};
    for (std::size_t i = 0; i < listeners; ++i) {
        const auto& ports = plan.connect.ports;
        const int port = ports.empty() ? 0 : ports[ports.size() == 1 ? 0 : i];
        out.insert(out.end(), {kind_word(plan.connect.kind), plan.connect.address, std::to_string(port)});
    }
    return out;
}

Result<> run_forwarder(Plan plan, const RunningInstance& running) {
    const UniqueFd host_root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    const UniqueFd host_netns(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!host_root || !host_netns) return fail_errno("Opening", "the host's namespaces");
    plan.place.root_fd = plan.in_instance ? running.root_fd : host_root.get();
    std::vector<UniqueFd> listeners;
    const auto listen = [&]() -> Result<> {
        LX_TRY_AS(listeners, listen_all(plan.listen, plan.place));
        return {};
    };
    LX_TRY(plan.in_instance ? sys::in_network_namespace(running.netns_fd, listen) : listen());
    ProxyProcess process;
    process.label = plan.label;
    process.lock_file = plan.lock;
    process.arguments = arguments_of(plan, listeners.size());
    process.pidfd = running.init_pidfd;
    process.netns = plan.in_instance ? host_netns.get() : running.netns_fd;
    process.root = plan.in_instance ? host_root.get() : running.root_fd;
    for (const UniqueFd& listener : listeners) process.listeners.push_back(listener.get());
    return start_proxy(process);
}

bool is_wildcard(const std::string& address) { return address == "0.0.0.0" || address == "::"; }

/// Of the ways to write an address, that in which others are compared with it.
std::string one_form(const std::string& address) {
    if (const auto v4 = network::parse_ipv4(address)) return network::format_ipv4(*v4);
    if (const auto v6 = network::parse_ipv6(address)) return network::format_ipv6(*v6);
    return address;
}

void set_subnet(const api::ConfigMap& config, network::ProxyNat::Side& side) {
    const auto found = config.find(side.ipv6 ? "ipv6.address" : "ipv4.address");
    const std::string text = found == config.end() ? "" : found->second;
    if (const auto v4 = network::parse_ipv4_net(text)) {
        side.subnet = network::format_ipv4(v4->network());
        side.prefix = v4->prefix;
    } else if (const auto v6 = network::parse_ipv6_net(text)) {
        side.subnet = network::format_ipv6(v6->network());
        side.prefix = v6->prefix;
    }
}

/// One family: the address of the instance that the user names, or its first where that is left open.
/// Nullopt: it has none.
std::optional<network::ProxyNat::Side> side_of(const DeviceContext& context, const Plan& plan, bool ipv6,
                                               const std::vector<NicOnNetwork>& nics) {
    for (const auto& nic : nics) {
        const std::string& own = ipv6 ? nic.addresses.ipv6 : nic.addresses.ipv4;
        const bool wanted = is_wildcard(plan.connect.address) || plan.connect.address == own;
        if (own.empty() || !wanted) continue;
        network::ProxyNat::Side side;
        side.ipv6 = ipv6;
        side.listen = is_wildcard(plan.listen.address) ? "" : one_form(plan.listen.address);
        side.connect = own;
        side.bridge = nic.network;
        if (const auto config = context.surroundings.network_config(nic.network)) set_subnet(*config, side);
        return side;
    }
    return std::nullopt;
}

/// "[::]" on both sides stands for both families, as far as the instance has them.
Result<network::ProxyNat> nat_of(const DeviceContext& context, const Plan& plan) {
    network::ProxyNat nat;
    nat.owner = plan.label;
    nat.protocol = plan.listen.kind == ProxyKind::udp ? "udp" : "tcp";
    for (std::size_t i = 0; i < plan.listen.ports.size(); ++i) {
        const auto& ports = plan.connect.ports;
        nat.ports.emplace_back(plan.listen.ports[i], ports[ports.size() == 1 ? 0 : i]);
    }
    LX_TRY_AS(const auto nics, context.surroundings.addresses(context.instance));
    const bool both = plan.listen.address == "::" && plan.connect.address == "::";
    const bool ipv6 = plan.listen.address.contains(':');
    if (!ipv6 || both) {
        if (auto side = side_of(context, plan, false, nics)) nat.sides.push_back(*std::move(side));
    }
    if (ipv6) {
        if (auto side = side_of(context, plan, true, nics)) nat.sides.push_back(*std::move(side));
    }
    if (!nat.sides.empty()) return nat;
    return fail(
        Status::bad_request,
        fmt::format("Device '{}' of instance '{}': with nat, connect must be an {} address of a NIC of the "
                    "instance on a managed network (or {} for its first), which '{}' is not",
                    context.device, context.instance, ipv6 ? "IPv6" : "IPv4", ipv6 ? "[::]" : "0.0.0.0",
                    plan.connect.address));
}

class Proxy final : public DeviceType {
public:
    [[nodiscard]] bool hotplug() const override { return true; }
    Result<> validate(const DeviceContext& context) const override {
        LX_TRY(make_plan(context));
        return {};
    }
    Result<api::ConfigMap> prepare(const DeviceContext&) const override { return api::ConfigMap{}; }

    Result<Started> start(const DeviceContext& context) const override {
        LX_TRY_AS(Plan plan, make_plan(context));
        Started started;
        if (is_nat(context)) {
            LX_TRY_AS(const auto nat, nat_of(context, plan));
            LX_TRY(context.surroundings.check_forwards(nat));
            LX_TRY(network::apply_proxy_nat(nat));
            failpoint("devices.proxy_nat");
            return started;
        }
        if (plan.listen.address.contains(':') && leaves_ipv4_to_others(context, plan))
            plan.place.families = Families::own;
        started.when_running = [plan = std::move(plan)](const RunningInstance& running) -> Result<> {
            auto ran = run_forwarder(plan, running);
            if (ran) return {};
            return std::unexpected(
                in(fmt::format("Proxy device of '{}'", plan.label), std::move(ran).error()));
        };
        return started;
    }

    Result<> recover(const DeviceContext& context) const override {
        if (is_nat(context)) {
            LX_TRY_AS(const Plan plan, make_plan(context));
            LX_TRY_AS(const auto nat, nat_of(context, plan));
            return network::apply_proxy_nat(nat);
        }
        if (proxy_runs(lock_file(context))) return {};
        return fail(Status::not_found, fmt::format("Device '{}' of instance '{}': its forwarder is gone",
                                                   context.device, context.instance));
    }

    [[nodiscard]] std::span<const std::string_view> live_keys() const override { return {}; }
    Result<> update(const DeviceContext&, const DeviceContext&) const override { return {}; }

    Result<api::ConfigMap> stop(const DeviceContext& context) const override {
        if (is_nat(context)) {
            LX_TRY(network::remove_proxy_nat(context.instance + "/" + context.device));
            return api::ConfigMap{};
        }
        LX_TRY(end_proxy(lock_file(context)));
        const auto plan = make_plan(context);
        if (plan && !plan->in_instance && plan->listen.kind == ProxyKind::unix_path) {
            const UniqueFd root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
            remove_socket(root.get(), plan->listen.address);
        }
        return api::ConfigMap{};
    }
    [[nodiscard]] std::vector<Detach> attached(const DeviceContext& context) const override {
        const auto plan = make_plan(context);
        if (!plan || !plan->in_instance || plan->listen.kind != ProxyKind::unix_path) return {};
        Detach socket;
        // A socket that somebody serves is left alone, so the forwarder ends first.
        socket.in_root = [lock = plan->lock, path = plan->listen.address](int root_fd) -> Result<> {
            LX_TRY(end_proxy(lock));
            remove_socket(root_fd, path);
            return {};
        };
        std::vector<Detach> out;
        out.push_back(std::move(socket));
        return out;
    }
    Result<api::ConfigMap> remove(const DeviceContext& context) const override { return stop(context); }
};

}  // namespace

const DeviceType& proxy() {
    static const Proxy type;
    return type;
}

void end_unknown_proxies(const std::string& run_dir, const api::DeviceMap& known) {
    std::vector<std::string> unknown;
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(run_dir.c_str()), ::closedir);
    while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr) {
        const std::string name = entry->d_name;
        if (!name.starts_with(kLockPrefix)) continue;
        const auto device = known.find(name.substr(kLockPrefix.size()));
        const bool is_proxy =
            device != known.end() && device->second.contains("type") && device->second.at("type") == "proxy";
        if (!is_proxy) unknown.push_back(name);
    }
    for (const auto& name : unknown) {
        if (auto ended = end_proxy(run_dir + "/" + name); !ended)
            log::warn("forwarder not ended", {{"file", name}, {"error", ended.error().message}});
    }
}

}  // namespace lxmgr::devices
