#include <array>

#include "profiles/checks.h"
#include "profiles/key_tables.h"

/// NICs that are not plugged into a bridge.
namespace lxmgr::profiles {
namespace {

constexpr ConfigKey of(KeyScope scope, ConfigKey row) {
    row.scope = scope;
    return row;
}

// The scope is filled in by each table.
constexpr ConfigKey kHwaddr{KeyScope::nic_p2p, "hwaddr",      "string",      "random",
                            Live::yes,         check::hwaddr, "MAC address."};
constexpr ConfigKey kMtu{KeyScope::nic_p2p,      "mtu",     "integer",
                         "that of the parent",   Live::yes, check::mtu,
                         "MTU of the interface."};
constexpr ConfigKey kName{KeyScope::nic_p2p,
                          "name",
                          "string",
                          "eth0, eth1, ...",
                          Live::yes,
                          check::interface_name,
                          "Name of the interface inside."};
constexpr ConfigKey kNictype{KeyScope::nic_p2p,
                             "nictype",
                             "string",
                             "",
                             Live::no,
                             check::nic_type,
                             "Type of the NIC: bridged, macvlan or p2p."};
constexpr ConfigKey kParent{KeyScope::nic_p2p,       "parent", "string", "", Live::yes, check::interface_name,
                            "Interface of the host."};
constexpr ConfigKey kUser{
    KeyScope::nic_p2p, "user.*", "string", "", Live::yes, check::text, "Free-form data of the user."};

constexpr auto P = KeyScope::nic_p2p;
constexpr ConfigKey kP2p[] = {
    of(P, {P, "host_name", "string", "random", Live::yes, check::interface_name,
           "Name of the interface on the host."}),
    of(P, kHwaddr),
    of(P, {P, "mtu", "integer", "1500", Live::yes, check::mtu, "MTU of the interface."}),
    of(P, kName),
    of(P, kNictype),
    of(P, kUser),
};

constexpr auto M = KeyScope::nic_macvlan;
constexpr ConfigKey kMacvlan[] = {
    of(M, kHwaddr),
    of(M, {M, "mode", "string", "bridge", Live::yes, check::macvlan_mode,
           "How NICs of one parent reach each other: bridge, vepa, passthru or private."}),
    of(M, kMtu),
    of(M, kName),
    of(M, kNictype),
    of(M, kParent),
    of(M, kUser),
};

}  // namespace

std::span<const ConfigKey> nic_p2p_keys() { return kP2p; }
std::span<const ConfigKey> nic_macvlan_keys() { return kMacvlan; }

}  // namespace lxmgr::profiles
