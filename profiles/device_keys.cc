#include "profiles/checks.h"
#include "profiles/key_tables.h"
#include "profiles/vlan.h"

namespace lxmgr::profiles {
namespace {

constexpr auto D = KeyScope::disk;
constexpr auto N = KeyScope::nic_bridged;

constexpr ConfigKey kDiskKeys[] = {
    {D, "attached", "bool", "true", Live::yes, check::boolean,
     "Plugged into the instance; false keeps the device configured only."},
    {D, "initial.block.filesystem", "string", "", Live::no, check::file_system,
     "File system that the root disk's volume is made with, on pools of driver lvm: ext4, xfs or btrfs."},
    {D, "limits.max", "string", "", Live::yes, check::disk_rate, "limits.read and limits.write in one."},
    {D, "limits.read", "string", "", Live::yes, check::disk_rate,
     "Largest rate of reading from the block device: bytes a second (10MiB) or operations a second "
     "(500iops)."},
    {D, "limits.write", "string", "", Live::yes, check::disk_rate,
     "Largest rate of writing to the block device. With cgroup v1, of direct and synchronous writes only."},
    {D, "path", "string", "", Live::yes, check::path_inside,
     "Mount point inside the instance, from its root on; / is the root disk."},
    {D, "pool", "string", "", Live::no, nullptr,
     "Storage pool of the root disk, or of the custom volume in source."},
    {D, "propagation", "string", "private", Live::yes, check::propagation,
     "How mounts below the source travel between host and instance."},
    {D, "raw.mount.options", "string", "", Live::yes, check::text,
     "Mount options, separated by commas: nosuid, noexec, noatime and their like; of tmpfs: also size, mode, "
     "nr_inodes."},
    {D, "readonly", "bool", "false", Live::yes, check::boolean, "Attach without write access."},
    {D, "recursive", "bool", "false", Live::yes, check::boolean,
     "Attach what is mounted below the source too."},
    {D, "required", "bool", "true", Live::yes, check::boolean, "Refuse to start when the source is absent."},
    {D, "shift", "bool", "false", Live::yes, check::boolean,
     "Show ids shifted to the instance's by an idmapped mount."},
    {D, "size", "size", "", Live::yes, check::volume_size,
     "Hard limit of what the root disk holds, such as 10GiB; 0: none. In place of the pool's volume.size."},
    {D, "source", "string", "", Live::yes, check::disk_source,
     "Path on the host (of a block device: the file system on it), tmpfs: for a file system in memory, or, "
     "with "
     "pool, the name of a custom volume."},
    {D, "source.snapshot", "string", "", Live::no, nullptr,
     "Snapshot of the custom volume to attach in its place, read-only."},
    {D, "source.type", "string", "custom", Live::no, check::volume_type,
     "Kind of the volume that source names: custom."},
    {D, "user.*", "string", "", Live::yes, check::text, "Free-form data of the user."},
};

constexpr ConfigKey kNicKeys[] = {
    {N, "attached", "bool", "true", Live::yes, check::boolean,
     "Plugged into the instance; false keeps the device configured only."},
    {N, "connected", "bool", "true", Live::yes, check::boolean, "Whether the instance sees a carrier."},
    {N, "host_name", "string", "random", Live::no, check::interface_name,
     "Name of the interface on the host."},
    {N, "hwaddr", "string", "random", Live::no, check::hwaddr, "MAC address."},
    {N, "ipv4.address", "string", "", Live::yes, check::ipv4_or_none,
     "IPv4 address that DHCP always gives to this NIC; none, with security.ipv4_filtering: no IPv4 at all."},
    {N, "ipv4.routes", "string", "", Live::yes, check::ipv4_net_list,
     "IPv4 nets that the host routes to this NIC."},
    {N, "ipv4.routes.external", "string", "", Live::yes, check::ipv4_net_list,
     "As ipv4.routes, for nets that the network around routes to this host."},
    {N, "ipv6.address", "string", "", Live::yes, check::ipv6_or_none,
     "IPv6 address that stateful DHCPv6 always gives to this NIC; none, with security.ipv6_filtering: no "
     "IPv6 "
     "at all."},
    {N, "ipv6.routes", "string", "", Live::yes, check::ipv6_net_list,
     "IPv6 nets that the host routes to this NIC."},
    {N, "ipv6.routes.external", "string", "", Live::yes, check::ipv6_net_list,
     "As ipv6.routes, for nets that the network around routes to this host."},
    {N, "limits.egress", "string", "", Live::yes, check::bit_rate,
     "Largest rate out of the instance, such as 10Mbit; more is dropped."},
    {N, "limits.ingress", "string", "", Live::yes, check::bit_rate,
     "Largest rate into the instance, such as 10Mbit; more waits."},
    {N, "limits.max", "string", "", Live::yes, check::bit_rate, "limits.egress and limits.ingress in one."},
    {N, "limits.priority", "integer", "", Live::yes, check::natural32,
     "Priority (skb->priority) of packets that come out of the instance."},
    {N, "mtu", "integer", "that of the bridge", Live::no, check::mtu, "MTU of the interface."},
    {N, "name", "string", "eth0, eth1, ...", Live::no, check::interface_name,
     "Name of the interface inside."},
    {N, "network", "string", "", Live::no, check::interface_name, "Managed network to join."},
    {N, "nictype", "string", "bridged", Live::no, check::nic_type,
     "Type of the NIC when no network is given: bridged, ipvlan, macvlan, p2p, physical or routed."},
    {N, "parent", "string", "", Live::no, check::interface_name,
     "Bridge on the host to join when no network is given."},
    {N, "queue.tx.length", "integer", "1000", Live::no, check::tx_queue,
     "Length of the transmit queues of both ends, in packets."},
    {N, "security.ipv4_filtering", "bool", "false", Live::yes, check::boolean,
     "Drop IPv4 and ARP that the instance sends with another address than its own; and as mac_filtering."},
    {N, "security.ipv6_filtering", "bool", "false", Live::yes, check::boolean,
     "Drop IPv6 with another address than follows from the MAC address or was given by DHCPv6; and as "
     "mac_filtering."},
    {N, "security.mac_filtering", "bool", "false", Live::yes, check::boolean,
     "Drop what the instance sends with another MAC address than its own."},
    {N, "security.port_isolation", "bool", "false", Live::yes, check::boolean,
     "Keep the NIC from reaching other isolated NICs of the bridge."},
    {N, "user.*", "string", "", Live::yes, check::text, "Free-form data of the user."},
    {N, "vlan", "integer", "", Live::yes, check::vlan_or_none,
     "VLAN of untagged packets on the bridge; none: they are dropped."},
    {N, "vlan.tagged", "integer", "", Live::yes, check::vlan_list,
     "VLANs whose tagged packets may pass, such as 10,20-29."},
};

}  // namespace

std::span<const ConfigKey> disk_keys() { return kDiskKeys; }
std::span<const ConfigKey> nic_bridged_keys() { return kNicKeys; }

}  // namespace lxmgr::profiles
