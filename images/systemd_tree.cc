// What an installed tree with systemd needs to boot cleanly as an instance; the network by what is installed.
#include <array>
#include <chrono>

#include "images/machine_init.h"
#include "lxd-daemon/base/spawn.h"

namespace lxmgr::images {
namespace {

// The address follows the MAC, which an instance keeps, and not machine-id and DUID, which a copy loses.
constexpr const char* kNetworkd =
    "[Match]\nName=eth0\n\n[Network]\nDHCP=yes\n\n[DHCPv4]\nClientIdentifier=mac\nUseDomains="
    "yes\nUseHostname=no\n";
// Optional: an instance without a network is complete, too, and waits for none. networkd has one setting for
// both families, and netplan refuses two.
constexpr const char* kNetplan =
    "network:\n  version: 2\n  renderer: networkd\n  ethernets:\n    eth0:\n      dhcp4: true\n"
    "      dhcp6: true\n      dhcp-identifier: mac\n      optional: true\n"
    "      dhcp4-overrides: {use-hostname: false, use-domains: true}\n"
    "      dhcp6-overrides: {use-hostname: false, use-domains: true}\n";
constexpr const char* kNetworkManager =
    "[connection]\nid=eth0\ntype=ethernet\ninterface-name=eth0\n\n"
    "[ipv4]\nmethod=auto\ndhcp-client-id=mac\n\n[ipv6]\nmethod=auto\naddr-gen-mode=eui64\n";
// The host's affairs: its disks, their health, its audit log, its crashes. Where a package brings them, they
// can only fail in an instance, or take from the host.
constexpr std::array kHostUnits{"audit-rules.service",  "auditd.service",       "dm-event.socket",
                                "iscsid.service",       "iscsid.socket",        "kdump.service",
                                "lvm2-lvmpolld.socket", "lvm2-monitor.service", "mdmonitor.service",
                                "multipathd.service",   "multipathd.socket",    "open-iscsi.service",
                                "rngd.service",         "smartd.service",       "smartmontools.service"};
// sshd wants keys before it starts, and an image must hold none.
constexpr const char* kSshHostKeys =
    "[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n";

Result<> systemctl(const RootTree& tree, const std::vector<std::string>& arguments) {
    // The image's own: it knows the [Install] sections of its version.
    Command command{.argv = {"chroot", tree.directory(), "systemctl"}, .timeout = std::chrono::seconds(60)};
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    LX_TRY(run_checked(command));
    return {};
}

bool has_unit(const RootTree& tree, const std::string& name) {
    return tree.exists("/usr/lib/systemd/system/" + name) || tree.exists("/lib/systemd/system/" + name);
}

/// systemctl fails on one that is not there, and not every family has all.
Result<> disable_unit(const RootTree& tree, const std::string& name) {
    if (!has_unit(tree, name)) return {};
    return systemctl(tree, {"disable", name});
}

Result<> mask_host_units(const RootTree& tree) {
    for (const std::string name : kHostUnits) {
        if (has_unit(tree, name)) LX_TRY(tree.symlink("/dev/null", "/etc/systemd/system/" + name));
    }
    return {};
}

Result<> use_networkd(const RootTree& tree) {
    LX_TRY(tree.write("/etc/systemd/network/eth0.network", kNetworkd));
    return systemctl(tree, {"enable", "systemd-networkd.service"});
}

/// netplan's generator starts networkd itself, and with it what waits for a link that counts: none does, as
/// ours is optional, so it would wait two minutes and fail. Under cloud-init's name for its own file, an
/// instance's `cloud-init.network-config` takes the place of ours and is not merged with it.
Result<> use_netplan(const RootTree& tree) {
    LX_TRY(systemctl(tree, {"mask", "systemd-networkd-wait-online.service"}));
    const bool cloud = tree.exists("/usr/bin/cloud-init");
    return tree.write(cloud ? "/etc/netplan/50-cloud-init.yaml" : "/etc/netplan/10-eth0.yaml", kNetplan,
                      0600);
}

Result<> use_network_manager(const RootTree& tree) {
    LX_TRY(tree.write("/etc/NetworkManager/system-connections/eth0.nmconnection", kNetworkManager, 0600));
    LX_TRY(systemctl(tree, {"enable", "NetworkManager.service"}));
    LX_TRY(disable_unit(tree, "systemd-networkd.service"));
    return disable_unit(tree, "NetworkManager-wait-online.service");
}

struct NetworkStack {
    const char* program;  ///< the stack is that of the first program that is there
    Result<> (*use)(const RootTree& tree);
};
constexpr std::array kNetworkStacks{NetworkStack{"/usr/sbin/netplan", use_netplan},
                                    NetworkStack{"/usr/sbin/NetworkManager", use_network_manager},
                                    NetworkStack{"/usr/bin/systemctl", use_networkd},
                                    NetworkStack{"/bin/systemctl", use_networkd}};

Result<> set_up_network(const RootTree& tree) {
    for (const auto& stack : kNetworkStacks) {
        if (!tree.exists(stack.program)) continue;
        LX_TRY(stack.use(tree));
        break;
    }
    // A container without a network is complete, too: nothing should wait two minutes for it and then be
    // `degraded`.
    LX_TRY(disable_unit(tree, "systemd-networkd-wait-online.service"));
    if (tree.exists("/usr/lib/systemd/systemd-resolved") || tree.exists("/lib/systemd/systemd-resolved")) {
        LX_TRY(systemctl(tree, {"enable", "systemd-resolved.service"}));
        LX_TRY(tree.symlink("../run/systemd/resolve/stub-resolv.conf", "/etc/resolv.conf"));
    }
    return {};
}

}  // namespace

Result<> set_up_systemd(const RootTree& tree) {
    LX_TRY(set_up_network(tree));
    LX_TRY(mask_host_units(tree));
    // Fedora's has a unit of its own that makes them.
    if (!tree.exists("/usr/sbin/sshd") || has_unit(tree, "sshd-keygen.target")) return {};
    return tree.write("/etc/systemd/system/ssh.service.d/host-keys.conf", kSshHostKeys);
}

}  // namespace lxmgr::images
