#pragma once
#include <string_view>

#include "lxd-daemon/base/result.h"

/// Private to the room: the `check` column of the key tables. Each gives `bad_request` that says what is
/// allowed; the caller puts key and value in front.
namespace lxmgr::profiles::check {

using Check = Result<> (*)(std::string_view key, std::string_view value);

Result<> boolean(std::string_view key, std::string_view value);
Result<> integer(std::string_view key, std::string_view value);
/// An integer of 0 and more.
Result<> natural(std::string_view key, std::string_view value);
/// An integer of 1 and more.
Result<> positive(std::string_view key, std::string_view value);
/// Any text; newlines and tabs are welcome, other control characters are not.
Result<> text(std::string_view key, std::string_view value);

/// boot.host_shutdown_action: stop or force-stop.
Result<> shutdown_action(std::string_view key, std::string_view value);
/// "http://HOST:PORT" or "https://HOST:PORT".
Result<> proxy_url(std::string_view key, std::string_view value);
/// A number of days, hours or minutes: 0 to 100000.
Result<> days(std::string_view key, std::string_view value);
/// none, gzip, xz, zstd or squashfs, and pigz and pzstd for two of them.
Result<> backup_compression(std::string_view key, std::string_view value);
Result<> host_naming(std::string_view key, std::string_view value);
Result<> image_compression(std::string_view key, std::string_view value);
/// One of LXD's names, "x86_64", or what it is also called.
Result<> architecture(std::string_view key, std::string_view value);

Result<> memory_limit(std::string_view key, std::string_view value);
Result<> memory_enforce(std::string_view key, std::string_view value);
/// -1000 to 1000, as oom_score_adj of proc(5).
Result<> oom_priority(std::string_view key, std::string_view value);
/// As parse_ssh_key().
Result<> ssh_key(std::string_view key, std::string_view value);
/// Names of file systems that the kernel mounts for an instance, with commas between them.
Result<> filesystem_list(std::string_view key, std::string_view value);
/// As parse_fuse_programs().
Result<> fuse_programs(std::string_view key, std::string_view value);
/// linux.kernel_modules.load: boot.
Result<> module_loading(std::string_view key, std::string_view value);
/// A size, or nothing at all when it is "0".
Result<> hugepage_limit(std::string_view key, std::string_view value);
/// POOL/VOLUME
Result<> volume_place(std::string_view key, std::string_view value);
/// Of a volume; 0 is none.
Result<> volume_type(std::string_view key, std::string_view value);
Result<> file_system(std::string_view key, std::string_view value);
/// How many devices LVM spreads a volume over, and how much goes to one at a time.
Result<> stripes(std::string_view key, std::string_view value);
Result<> stripe_size(std::string_view key, std::string_view value);
Result<> volume_size(std::string_view key, std::string_view value);
/// true, false or a size.
Result<> swap_limit(std::string_view key, std::string_view value);
/// 0 to 10.
Result<> priority(std::string_view key, std::string_view value);
/// A set of NUMA nodes.
Result<> numa_nodes(std::string_view key, std::string_view value);
Result<> kernel_limit(std::string_view key, std::string_view value);
Result<> sysctl(std::string_view key, std::string_view value);
/// security.idmap.base and .size.
Result<> host_id(std::string_view key, std::string_view value);
Result<> raw_idmap(std::string_view key, std::string_view value);
Result<> cpu_limit(std::string_view key, std::string_view value);
Result<> cpu_allowance(std::string_view key, std::string_view value);
/// environment.NAME: a name that execve(2) can carry.
Result<> environment(std::string_view key, std::string_view value);

/// Absolute, without "." and ".." parts, not "/" with something behind it that normalises away.
Result<> absolute_path(std::string_view key, std::string_view value);
/// As absolute_path(), or from the instance's root on without the slash.
Result<> path_inside(std::string_view key, std::string_view value);
/// As absolute_path(), or any name.
Result<> disk_source(std::string_view key, std::string_view value);
/// private, shared, slave, unbindable, or one of these with an r before it.
Result<> propagation(std::string_view key, std::string_view value);
/// A user or group id, 0 to 4294967294.
Result<> owner_id(std::string_view key, std::string_view value);
/// Major or minor number of a device, 0 to 1048575.
Result<> device_number(std::string_view key, std::string_view value);
/// Permission bits in octal, "0660" or "660".
Result<> file_mode(std::string_view key, std::string_view value);
/// Four hexadecimal digits.
Result<> device_id(std::string_view key, std::string_view value);
/// "0000:01:00.0".
Result<> pci_address(std::string_view key, std::string_view value);
/// physical.
Result<> gpu_type(std::string_view key, std::string_view value);
/// "host", "guest", and "instance" and "container" for the latter.
Result<> proxy_bind(std::string_view key, std::string_view value);
/// "tcp:ADDRESS:PORTS", "udp:ADDRESS:PORTS", "unix:PATH" or "unix:@NAME".
Result<> proxy_address(std::string_view key, std::string_view value);
/// bridge, vepa, passthru or private.
Result<> macvlan_mode(std::string_view key, std::string_view value);
/// l2 or l3s.
Result<> ipvlan_mode(std::string_view key, std::string_view value);
/// 1 to 15 of [A-Za-z0-9._-]: what Linux and LXD allow for an interface.
Result<> interface_name(std::string_view key, std::string_view value);
/// Six pairs of hex digits, not a multicast address.
Result<> hwaddr(std::string_view key, std::string_view value);
/// Bits a second: "10Mbit".
/// Names of kernel modules, with commas between them.
Result<> module_list(std::string_view key, std::string_view value);
/// Bytes ("10MiB") or operations ("500iops") a second.
Result<> disk_rate(std::string_view key, std::string_view value);
Result<> bit_rate(std::string_view key, std::string_view value);
/// 0 to 4294967295.
Result<> natural32(std::string_view key, std::string_view value);
/// Packets in a transmit queue: 1 to 1000000.
Result<> tx_queue(std::string_view key, std::string_view value);
/// Number of a routing table: 1 to 4294967295.
Result<> route_table(std::string_view key, std::string_view value);
/// Some, with commas between.
Result<> route_tables(std::string_view key, std::string_view value);
Result<> mtu(std::string_view key, std::string_view value);
Result<> ipv4(std::string_view key, std::string_view value);
/// Or "none".
Result<> ipv4_or_none(std::string_view key, std::string_view value);
Result<> ipv6_or_none(std::string_view key, std::string_view value);
Result<> ipv6(std::string_view key, std::string_view value);
/// One or more, with commas between.
Result<> ipv4_list(std::string_view key, std::string_view value);
Result<> ipv6_list(std::string_view key, std::string_view value);
Result<> ipv4_net_list(std::string_view key, std::string_view value);
Result<> ipv6_net_list(std::string_view key, std::string_view value);
/// auto or none.
Result<> gateway(std::string_view key, std::string_view value);
/// As gateway(), or an address.
Result<> ipv4_gateway(std::string_view key, std::string_view value);
Result<> ipv6_gateway(std::string_view key, std::string_view value);
/// Addresses with commas between, each with or without the length of the net that it is in.
Result<> ipv4_with_length_list(std::string_view key, std::string_view value);
Result<> ipv6_with_length_list(std::string_view key, std::string_view value);
Result<> snapshot_schedule(std::string_view key, std::string_view value);
Result<> snapshot_pattern(std::string_view key, std::string_view value);
Result<> snapshot_expiry(std::string_view key, std::string_view value);
Result<> nic_type(std::string_view key, std::string_view value);
/// core.https_address: "ADDRESS[:PORT]".
Result<> listen_address(std::string_view key, std::string_view value);
/// core.remote_token_expiry: "3H", "1d 12H".
Result<> token_expiry(std::string_view key, std::string_view value);

}  // namespace lxmgr::profiles::check
