#include <fmt/format.h>

#include <algorithm>

#include "profiles/key_tables.h"

/// Why some keys of LXD and Incus are refused for good, and what to use in their place.
namespace lxmgr::profiles {
namespace {

struct Reason {
    std::string_view start;  ///< of the key's name
    std::string_view why;
};

constexpr std::string_view kMachine = "it is for virtual machines";
constexpr std::string_view kBursts = "the kernel's rates for the disks of containers know no bursts";

constexpr Reason kOfInstance[] = {
    {"agent.nic_config", kMachine},
    {"boot.debug_edk2", kMachine},
    {"boot.mode", kMachine},
    {"limits.cpu.pin_strategy", kMachine},
    {"limits.max_bus_ports", kMachine},
    {"limits.memory.hotplug", kMachine},
    {"limits.memory.hugepages", kMachine},
    {"raw.qemu", kMachine},
    {"security.agent.metrics", kMachine},
    {"security.csm", kMachine},
    {"security.iommu", kMachine},
    {"security.secureboot", kMachine},
    {"security.sev", kMachine},
    {"smbios11.", kMachine},
};

constexpr Reason kOfDisk[] = {
    {"boot.priority", kMachine},
    {"dependent", "a volume is snapshotted, copied and deleted by itself, whatever instance has it"},
    {"initial.", "of a root's volume only initial.block.filesystem can be chosen"},
    {"io.", kMachine},
    {"limits.max.burst", kBursts},
    {"limits.read.burst", kBursts},
    {"limits.write.burst", kBursts},
    {"size.state", kMachine},
    {"wwn", kMachine},
};

constexpr Reason kOfNic[] = {
    {"boot.priority", kMachine},
    {"io.bus", kMachine},
    {"network", "a managed network says itself what its NICs are: leave nictype and parent out"},
};

constexpr Reason kOfIpvlan[] = {
    {"boot.priority", kMachine},
    {"connected", "the carrier is the parent's, for all interfaces on it"},
    {"hwaddr", "an ipvlan interface has the MAC address of its parent"},
    {"io.bus", kMachine},
    {"network", "a managed network says itself what its NICs are: leave nictype and parent out"},
};

constexpr Reason kOfBridged[] = {
    {"boot.priority", kMachine},
    {"io.bus", kMachine},
    {"ipv4.gateway", "DHCP tells all NICs of a network the same one: ipv4.dhcp.gateway of the network"},
    {"ipv6.gateway", "router advertisements reach all NICs of a network alike"},
};

constexpr Reason kOfPhysical[] = {
    {"boot.priority", kMachine},
    {"network", "a managed network says itself what its NICs are: leave nictype and parent out"},
    {"vlan.tagged", "the whole interface is moved into the instance, with the packets of all VLANs"},
};

constexpr Reason kOfCharNode[] = {
    {"limits.", "the kernel has rates for block devices only"},
};

std::span<const Reason> reasons(KeyScope scope) {
    switch (scope) {
        case KeyScope::instance:
            return kOfInstance;
        case KeyScope::disk:
            return kOfDisk;
        case KeyScope::nic_bridged:
            return kOfBridged;
        case KeyScope::nic_ipvlan:
            return kOfIpvlan;
        case KeyScope::nic_physical:
            return kOfPhysical;
        case KeyScope::nic_macvlan:
        case KeyScope::nic_p2p:
        case KeyScope::nic_routed:
            return kOfNic;
        case KeyScope::unix_char:
            return kOfCharNode;
        default:
            return {};
    }
}

}  // namespace

std::string not_supported(KeyScope scope, std::string_view name) {
    const auto all = reasons(scope);
    const auto found =
        std::ranges::find_if(all, [name](const Reason& reason) { return name.starts_with(reason.start); });
    if (found == all.end()) return "is not supported by this server (yet)";
    return fmt::format("is not supported: {}", found->why);
}

}  // namespace lxmgr::profiles
