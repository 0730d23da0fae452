#include "images/machine_tree.h"

#include <fmt/format.h>

#include <array>
#include <chrono>

#include "lxd-daemon/base/spawn.h"

namespace lxmgr::images {
namespace {

// The address follows the MAC, which an instance keeps, and not machine-id and DUID, which a copy loses.
constexpr const char* kNetwork =
    "[Match]\nName=eth0\n\n[Network]\nDHCP=yes\n\n[DHCPv4]\nClientIdentifier=mac\nUseDomains="
    "yes\nUseHostname=no\n";
constexpr const char* kHosts =
    "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost "
    "ip6-loopback\nff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n";
// Debian's cloud-init wants en_US.UTF-8, and fails where the package locales is not there.
constexpr const char* kCloudLocale = "locale: C.UTF-8\n";
// sshd wants keys before it starts, and an image must hold none.
constexpr const char* kSshHostKeys =
    "[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n";

constexpr std::array kUnwanted{"/var/lib/dbus/machine-id",
                               "/var/cache/ldconfig/aux-cache",
                               "/etc/apt/apt.conf.d/99mmdebstrap",
                               "/etc/dpkg/dpkg.cfg.d/99mmdebstrap",
                               "/var/lib/systemd/random-seed",
                               "/var/lib/systemd/credential.secret",
                               "/etc/.pwd.lock"};
constexpr std::array kEmptied{"/dev", "/run", "/tmp", "/var/tmp"};

Result<> systemctl(const RootTree& tree, const std::vector<std::string>& arguments) {
    // The image's own: it knows the [Install] sections of its version.
    Command command{.argv = {"chroot", tree.directory(), "systemctl"}, .timeout = std::chrono::seconds(60)};
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    LX_TRY(run_checked(command));
    return {};
}

Result<> set_up_network(const RootTree& tree) {
    LX_TRY(tree.write("/etc/systemd/network/eth0.network", kNetwork));
    LX_TRY(systemctl(tree, {"enable", "systemd-networkd.service"}));
    // A container without a network is complete, too: nothing should wait two minutes for it and then be
    // `degraded`.
    LX_TRY(systemctl(tree, {"disable", "systemd-networkd-wait-online.service"}));
    if (tree.exists("/usr/lib/systemd/systemd-resolved") || tree.exists("/lib/systemd/systemd-resolved")) {
        LX_TRY(systemctl(tree, {"enable", "systemd-resolved.service"}));
        LX_TRY(tree.symlink("../run/systemd/resolve/stub-resolv.conf", "/etc/resolv.conf"));
    }
    return {};
}

Result<> clean(const RootTree& tree) {
    for (const char* path : kUnwanted) LX_TRY(tree.remove(path));
    for (const char* path : kEmptied) LX_TRY(tree.empty(path));
    LX_TRY(tree.empty_of_files("/var/log"));
    LX_TRY(tree.remove_files("/etc/ssh", "ssh_host_", ""));
    LX_TRY(tree.remove_files("/var/lib/dpkg", "", "-old"));
    LX_TRY(tree.remove_files("/var/cache/debconf", "", "-old"));
    // Empty, not absent and not "uninitialized": systemd makes a new one, and does not apply presets as on a
    // first boot.
    return tree.write("/etc/machine-id", "", 0444);
}

}  // namespace

Result<> finish_machine_tree(const RootTree& tree) {
    LX_TRY(set_up_network(tree));
    LX_TRY(tree.write("/etc/hostname", "localhost\n"));
    LX_TRY(tree.write("/etc/hosts", kHosts));
    if (!tree.exists("/etc/default/locale")) LX_TRY(tree.write("/etc/default/locale", "LANG=C.UTF-8\n"));
    if (tree.exists("/usr/bin/cloud-init"))
        LX_TRY(tree.write("/etc/cloud/cloud.cfg.d/90_locale.cfg", kCloudLocale));
    if (tree.exists("/usr/sbin/sshd"))
        LX_TRY(tree.write("/etc/systemd/system/ssh.service.d/host-keys.conf", kSshHostKeys));
    return clean(tree);
}

}  // namespace lxmgr::images
