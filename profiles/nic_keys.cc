#include <array>

#include "profiles/checks.h"
#include "profiles/key_tables.h"
#include "profiles/vlan.h"

/// NICs that are not plugged into a bridge.
namespace lxmgr::profiles {
namespace {

// The scope is filled in by each table.
constexpr ConfigKey kAttached{KeyScope::nic_p2p,
                              "attached",
                              "bool",
                              "true",
                              Live::yes,
                              check::boolean,
                              "Plugged into the instance; false keeps the device configured only."};
constexpr ConfigKey kConnected{KeyScope::nic_p2p,
                               "connected",
                               "bool",
                               "true",
                               Live::yes,
                               check::boolean,
                               "Whether the instance sees a carrier."};
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
                             "Type of the NIC: bridged, ipvlan, macvlan, p2p, physical or routed."};
constexpr ConfigKey kParent{KeyScope::nic_p2p,       "parent", "string", "", Live::yes, check::interface_name,
                            "Interface of the host."};
constexpr ConfigKey kGvrp{KeyScope::nic_p2p,
                          "gvrp",
                          "bool",
                          "false",
                          Live::yes,
                          check::boolean,
                          "Announce the VLAN to the switch (GVRP)."};
constexpr ConfigKey kVlan{KeyScope::nic_p2p,
                          "vlan",
                          "integer",
                          "",
                          Live::yes,
                          check::vlan,
                          "VLAN of the parent: its interface (eth0.5) is made where it is not there."};
constexpr ConfigKey kUser{
    KeyScope::nic_p2p, "user.*", "string", "", Live::yes, check::text, "Free-form data of the user."};

constexpr ConfigKey kEgress{KeyScope::nic_p2p,
                            "limits.egress",
                            "string",
                            "",
                            Live::yes,
                            check::bit_rate,
                            "Largest rate out of the instance, such as 10Mbit; more is dropped."};
constexpr ConfigKey kIngress{KeyScope::nic_p2p,
                             "limits.ingress",
                             "string",
                             "",
                             Live::yes,
                             check::bit_rate,
                             "Largest rate into the instance, such as 10Mbit; more waits."};
constexpr ConfigKey kMax{KeyScope::nic_p2p,
                         "limits.max",
                         "string",
                         "",
                         Live::yes,
                         check::bit_rate,
                         "limits.egress and limits.ingress in one."};
constexpr ConfigKey kPriority{KeyScope::nic_p2p,
                              "limits.priority",
                              "integer",
                              "",
                              Live::yes,
                              check::natural32,
                              "Priority (skb->priority) of packets that come out of the instance."};
constexpr ConfigKey kTxQueue{KeyScope::nic_p2p,
                             "queue.tx.length",
                             "integer",
                             "1000",
                             Live::yes,
                             check::tx_queue,
                             "Length of the transmit queues of both ends, in packets."};

constexpr auto P = KeyScope::nic_p2p;
constexpr ConfigKey kP2p[] = {
    of(P, kAttached),
    of(P, kConnected),
    of(P, {P, "host_name", "string", "random", Live::yes, check::interface_name,
           "Name of the interface on the host."}),
    of(P, kHwaddr),
    of(P, {P, "ipv4.routes", "string", "", Live::yes, check::ipv4_net_list,
           "IPv4 nets that the host routes to the instance."}),
    of(P, {P, "ipv6.routes", "string", "", Live::yes, check::ipv6_net_list,
           "IPv6 nets that the host routes to the instance."}),
    of(P, kEgress),
    of(P, kIngress),
    of(P, kMax),
    of(P, kPriority),
    of(P, {P, "mtu", "integer", "1500", Live::yes, check::mtu, "MTU of the interface."}),
    of(P, kName),
    of(P, kNictype),
    of(P, kTxQueue),
    of(P, kUser),
};

constexpr auto L = KeyScope::nic_ipvlan;
constexpr ConfigKey kIpvlan[] = {
    of(L, kAttached),
    of(L, kGvrp),
    of(L, kVlan),
    of(L, {L, "ipv4.address", "string", "", Live::yes, check::ipv4_with_length_list,
           "IPv4 addresses of the instance, with commas between; in mode l2 with the length of their net (24 "
           "where none is said)."}),
    of(L, {L, "ipv4.gateway", "string", "auto in mode l3s", Live::yes, check::ipv4_gateway,
           "Default route for IPv4: auto or none in mode l3s, the gateway's address or none in mode l2."}),
    of(L, {L, "ipv4.host_table", "integer", "", Live::yes, check::route_table,
           "Routing table that has the IPv4 routes to the instance too."}),
    of(L, {L, "ipv6.address", "string", "", Live::yes, check::ipv6_with_length_list,
           "IPv6 addresses of the instance, with commas between; in mode l2 with the length of their net (64 "
           "where none is said)."}),
    of(L, {L, "ipv6.gateway", "string", "auto in mode l3s", Live::yes, check::ipv6_gateway,
           "Default route for IPv6: auto or none in mode l3s, the gateway's address or none in mode l2."}),
    of(L, {L, "ipv6.host_table", "integer", "", Live::yes, check::route_table,
           "Routing table that has the IPv6 routes to the instance too."}),
    of(L, {L, "mode", "string", "l3s", Live::yes, check::ipvlan_mode,
           "Who routes to the addresses: the host (l3s), or the parent's network as it finds them (l2)."}),
    of(L, kMtu),
    of(L, kName),
    of(L, kNictype),
    of(L, kParent),
    of(L, kUser),
};

constexpr auto M = KeyScope::nic_macvlan;
constexpr ConfigKey kMacvlan[] = {
    of(M, kAttached),
    of(M, kGvrp),
    of(M, kVlan),
    of(M, {M, "connected", "bool", "true", Live::yes, check::boolean,
           "Whether the instance sees a carrier; false holds until the parent itself goes down and up."}),
    of(M, kHwaddr),
    of(M, {M, "mode", "string", "bridge", Live::yes, check::macvlan_mode,
           "How NICs of one parent reach each other: bridge, vepa, passthru or private."}),
    of(M, kMtu),
    of(M, kName),
    of(M, kNictype),
    of(M, kParent),
    of(M, kUser),
};

constexpr auto Y = KeyScope::nic_physical;
constexpr ConfigKey kPhysical[] = {
    of(Y, kAttached),
    of(Y, kGvrp),
    of(Y, kVlan),
    of(Y, {Y, "hwaddr", "string", "as on the host", Live::yes, check::hwaddr, "MAC address inside."}),
    of(Y, {Y, "mtu", "integer", "as on the host", Live::yes, check::mtu, "MTU inside."}),
    of(Y, kName),
    of(Y, kNictype),
    of(Y, {Y, "parent", "string", "", Live::yes, check::interface_name,
           "Interface of the host that is moved into the instance."}),
    of(Y, kUser),
};

constexpr auto R = KeyScope::nic_routed;
constexpr ConfigKey kRouted[] = {
    of(R, kAttached),
    of(R, kGvrp),
    of(R, kVlan),
    of(R, kConnected),
    of(R, {R, "host_name", "string", "random", Live::yes, check::interface_name,
           "Name of the interface on the host."}),
    of(R, kHwaddr),
    of(R, {R, "ipv4.address", "string", "", Live::yes, check::ipv4_list,
           "IPv4 addresses of the instance, with commas between."}),
    of(R, {R, "ipv4.gateway", "string", "auto", Live::yes, check::gateway,
           "Whether the instance gets a default route for IPv4: auto or none."}),
    of(R, {R, "ipv4.host_address", "string", "169.254.0.1", Live::yes, check::ipv4,
           "IPv4 address of the host's end."}),
    of(R, {R, "ipv4.host_table", "integer", "", Live::yes, check::route_table,
           "Routing table that has the IPv4 routes to the instance too."}),
    of(R, {R, "ipv4.host_tables", "string", "the main one", Live::yes, check::route_tables,
           "Routing tables that have the IPv4 routes to the instance, with commas between."}),
    of(R, {R, "ipv4.neighbor_probe", "bool", "true", Live::yes, check::boolean,
           "Ask on the parent's network first whether somebody has the IPv4 addresses."}),
    of(R, {R, "ipv4.routes", "string", "", Live::yes, check::ipv4_net_list,
           "IPv4 nets that the host routes to the instance."}),
    of(R, {R, "ipv6.address", "string", "", Live::yes, check::ipv6_list,
           "IPv6 addresses of the instance, with commas between."}),
    of(R, {R, "ipv6.gateway", "string", "auto", Live::yes, check::gateway,
           "Whether the instance gets a default route for IPv6: auto or none."}),
    of(R, {R, "ipv6.host_address", "string", "fe80::1", Live::yes, check::ipv6,
           "IPv6 address of the host's end."}),
    of(R, {R, "ipv6.host_table", "integer", "", Live::yes, check::route_table,
           "Routing table that has the IPv6 routes to the instance too."}),
    of(R, {R, "ipv6.host_tables", "string", "the main one", Live::yes, check::route_tables,
           "Routing tables that have the IPv6 routes to the instance, with commas between."}),
    of(R, {R, "ipv6.neighbor_probe", "bool", "true", Live::yes, check::boolean,
           "Ask on the parent's network first whether somebody has the IPv6 addresses."}),
    of(R, {R, "ipv6.routes", "string", "", Live::yes, check::ipv6_net_list,
           "IPv6 nets that the host routes to the instance."}),
    of(R, kEgress),
    of(R, kIngress),
    of(R, kMax),
    of(R, kPriority),
    of(R, kMtu),
    of(R, kName),
    of(R, kNictype),
    of(R, {R, "parent", "string", "", Live::yes, check::interface_name,
           "Interface on whose network the host answers for the addresses."}),
    of(R, kTxQueue),
    of(R, kUser),
    of(R, {R, "vrf", "string", "", Live::yes, check::interface_name,
           "VRF of the host that has the host's end and the routes."}),
};

}  // namespace

std::span<const ConfigKey> nic_physical_keys() { return kPhysical; }
std::span<const ConfigKey> nic_routed_keys() { return kRouted; }
std::span<const ConfigKey> nic_p2p_keys() { return kP2p; }
std::span<const ConfigKey> nic_ipvlan_keys() { return kIpvlan; }
std::span<const ConfigKey> nic_macvlan_keys() { return kMacvlan; }

}  // namespace lxmgr::profiles
