#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::network {

struct FirewallPolicy;  ///< network/firewall_policy.h

/// A NIC's claim on an address of a bridge: kept in the database by the caller, valid for the NIC's life.
struct AddressClaim {
    std::string instance;    ///< its DNS name: a label, or two with '_' between
    std::string device;      ///< device name of the NIC
    std::string hwaddr;      ///< aa:bb:cc:dd:ee:ff, lower case
    std::string ipv4;        ///< dotted; empty: none
    std::string ipv6;        ///< empty: none
    bool is_static = false;  ///< set by the user (ipv4.address), else chosen by us
};

struct Lease {
    std::string hostname, hwaddr, address, type;  ///< type: "static", "dynamic" or "gateway"
};

struct Counters {
    std::uint64_t bytes_received = 0, bytes_sent = 0, packets_received = 0, packets_sent = 0;
    std::uint64_t errors_received = 0, errors_sent = 0, packets_dropped_inbound = 0,
                  packets_dropped_outbound = 0;
};
struct Address {
    std::string family;  ///< "inet" or "inet6"
    std::string address;
    std::string netmask;  ///< prefix length as text, as LXD shows it
    std::string scope;    ///< "global", "link" or "local"
};
/// One interface as GET .../state shows it.
struct InterfaceState {
    std::string name, hwaddr, host_name;
    std::string state;  ///< "up" or "down"
    std::string type;   ///< "broadcast", "loopback", "point-to-point" or "unknown"
    int mtu = 0;
    int index = 0;
    std::string kind;  ///< rtnetlink kind: "bridge", "veth", ...; empty for hardware
    std::vector<Address> addresses;
    Counters counters;
};

/// 1 to 15 characters of [A-Za-z0-9._-], not starting with '-' or '.'. Errors: `bad_request`.
Result<> check_interface_name(std::string_view name);
/// An interface name of at least 2 characters that is not reserved (all, default, lo, none).
Result<> check_network_name(std::string_view name);

/// Fills in what the user gave as "auto" or, of a new network, left out: ipv4.address (a free 10.x.y.1/24),
/// ipv4.nat=true, ipv6.address (a ULA /64), ipv6.nat=true. Errors: `bad_request` naming key, value and what
/// is allowed; unknown keys are errors (user.* passes).
Result<api::ConfigMap> complete_bridge_config(const std::string& name, api::ConfigMap config,
                                              bool is_new = true);

/// The name and the config of a network, checked alone.
Result<> check_bridge_config(const std::string& name, const api::ConfigMap& config);
/// `conflict` when an interface of the host (Docker's, say) other than the bridge has an address that
/// overlaps with the network's subnets.
Result<> check_subnets_free(const std::string& name, const api::ConfigMap& config);

/// Whether a NIC may be given this address: DHCP is on and the address is in the subnet, not the bridge's
/// own, the network's or the broadcast address; it need not be in ipv4.dhcp.ranges. Errors: `bad_request`.
Result<> check_static_ipv4(const std::string& name, const api::ConfigMap& config, const std::string& address);

/// The same of IPv6: DHCPv6 gives addresses, ipv6.dhcp.stateful.
Result<> check_static_ipv6(const std::string& name, const api::ConfigMap& config, const std::string& address);

/// One managed bridge with its addresses, NAT rules and dnsmasq. Thread-safe. Everything it makes in the
/// kernel is in the network namespace of the process; its files are in `state_dir` (STATE/networks/NAME).
class Bridge {
public:
    static Result<std::unique_ptr<Bridge>> open(const std::string& name, const std::string& state_dir);
    virtual ~Bridge() = default;

    /// Makes kernel state and dnsmasq equal to the config: interface, fixed MAC, addresses, forwarding, nft
    /// table `lxmgr`, dnsmasq. Idempotent: on a daemon restart a live dnsmasq with the same configuration is
    /// taken over.
    virtual Result<> apply(const api::ConfigMap& config, const std::vector<AddressClaim>& claims) = 0;
    /// ACLs and forwards: in force at once where it is up, or (`later`) with the next apply().
    virtual Result<> set_policy(const FirewallPolicy& policy, bool later = false) = 0;
    /// Removes interface, rules and dnsmasq; absent parts are success. Leases stay: the next apply() brings
    /// all of it up again.
    virtual Result<> take_down() = 0;
    /// For good: the files too.
    virtual Result<> remove() = 0;

    /// The address that the claim holds while it is one of the network's, else a free one of the DHCP range
    /// (not the gateway, not claimed, stable for the same instance name where free). Empty when DHCPv4 is
    /// off.
    virtual Result<std::string> choose_ipv4(const AddressClaim& claim,
                                            const std::vector<AddressClaim>& taken) = 0;
    /// The same of IPv6; empty when DHCPv6 hands out no addresses.
    virtual Result<std::string> choose_ipv6(const AddressClaim& claim,
                                            const std::vector<AddressClaim>& taken) = 0;
    /// Writes the host entry of one NIC for dnsmasq (dhcp-hostsdir: read at once, no signal, no restart).
    virtual Result<> set_claim(const AddressClaim& claim) = 0;
    virtual Result<> drop_claim(const AddressClaim& claim) = 0;
    virtual Result<std::vector<Lease>> leases(const std::vector<AddressClaim>& claims) = 0;

    /// The live dnsmasq; 0 and invalid: none is known to run.
    [[nodiscard]] virtual pid_t server_pid() const = 0;
    [[nodiscard]] virtual UniqueFd server_pidfd() const = 0;
    /// Asks dnsmasq something; one that does not answer is replaced, and one that has ended. Leases stay.
    /// Takes seconds when it is wedged.
    virtual Result<> check_server() = 0;
};

/// Creates a veth pair in one netlink message: host end named, enslaved to the bridge (unless empty) and up;
/// peer with the given name and MAC in the network namespace of `netns_fd`. Errors: `internal`; an existing
/// host_name is an error.
struct VethRequest {
    std::string host_name;   ///< at most 15 characters
    std::string guest_name;  ///< empty: the first free of eth0, eth1, ...
    std::string hwaddr;
    std::string bridge;
    int mtu = 0;  ///< 0: the bridge's
    int netns_fd = -1;
    int tx_queue = 0;  ///< length of the transmit queues, in packets; 0: the kernel's choice
    /// Called when the pair is there and both ends are still down; its failure takes the pair away.
    std::function<Result<>()> prepare{};
};
Result<> create_veth(const VethRequest& request);
/// An absent link is success.
Result<> delete_link(const std::string& name);
/// As delete_link(), and a link that is not one end of a veth pair stays and is an error: `conflict`.
Result<> delete_veth(const std::string& name);
/// As delete_veth(), and returns as soon as the pair is gone for all who look, in either namespace: for the
/// grace period that is left, 20 ms (RCU, measured), the kernel keeps the caller of a plain deletion.
Result<> delete_veth_promptly(const std::string& name);
/// The same in the background, for a pair whose other end is in a namespace that is going away by itself: the
/// kernel takes 10 ms and more.
void delete_veth_later(const std::string& name);
/// Waits for all that delete_veth_later() was given.
void finish_deletions();
/// Fails with `not_found` when the interface does not exist.
Result<InterfaceState> interface_state(const std::string& name);
/// All interfaces of this process's network namespace, or of the namespace of another process (pid of its
/// init): one netlink dump each for links and addresses, on a socket opened inside that namespace.
Result<std::vector<InterfaceState>> interface_states();
Result<std::vector<InterfaceState>> interface_states_of(int netns_fd);

/// 00:16:3e: and three random bytes, the prefix LXD uses.
std::string random_hwaddr();
/// "veth" and 8 random hex digits.
std::string random_host_name();

}  // namespace lxmgr::network
