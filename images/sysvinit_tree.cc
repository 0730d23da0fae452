// What an installed tree with sysvinit needs to boot cleanly as an instance.
#include <array>
#include <chrono>

#include "images/machine_init.h"
#include "lxd-daemon/base/spawn.h"

namespace lxmgr::images {
namespace {

// Debian's own, but: /run is said to be a tmpfs, or what the host put there would be cleaned away; there is a
// console and no tty1; and a failing power supply, which is how a host asks an init that is not systemd to
// halt, halts at once.
constexpr const char* kInittab =
    "id:2:initdefault:\nrt::sysinit:/bin/touch "
    "/run/.tmpfs\nsi::sysinit:/etc/init.d/rcS\n~~:S:wait:/sbin/sulogin --force\n"
    "l0:0:wait:/etc/init.d/rc 0\nl1:1:wait:/etc/init.d/rc 1\nl2:2:wait:/etc/init.d/rc 2\n"
    "l3:3:wait:/etc/init.d/rc 3\nl4:4:wait:/etc/init.d/rc 4\nl5:5:wait:/etc/init.d/rc 5\n"
    "l6:6:wait:/etc/init.d/rc 6\nz6:6:respawn:/sbin/sulogin --force\n"
    "ca:12345:ctrlaltdel:/sbin/shutdown -r now\n"
    "pf::powerwait:/sbin/shutdown -h now\n"
    "co:2345:respawn:/sbin/getty -8 --noclear --keep-baud console 115200,38400,9600\n";
constexpr const char* kInterfaces =
    "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n\nsource "
    "/etc/network/interfaces.d/*\n";
// /etc/init.d/ssh reads this before it looks for keys, of which an image must hold none.
constexpr const char* kSshDefaults =
    "SSHD_OPTS=\n[ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -A >/dev/null\n";
// The host's affairs: its clock, its disks, its modules, its mounts, its log.
constexpr std::array kForeignScripts{"hwclock.sh", "checkroot.sh", "checkroot-bootclean.sh",
                                     "checkfs.sh", "kmod",         "udev",
                                     "umountfs",   "umountroot",   "bootlogs"};
// An empty file in place of that of procps, whose keys are the kernel's.
constexpr const char* kProtectLinks = "/etc/sysctl.d/99-protect-links.conf";

Result<> leave_out(const RootTree& tree, const char* script) {
    if (!tree.exists(std::string("/etc/init.d/") + script)) return {};
    const Command command{.argv = {"chroot", tree.directory(), "update-rc.d", "-f", script, "remove"},
                          .timeout = std::chrono::seconds(60)};
    LX_TRY(run_checked(command));
    return {};
}

}  // namespace

Result<> set_up_sysvinit(const RootTree& tree) {
    LX_TRY(tree.write("/etc/inittab", kInittab));
    LX_TRY(tree.write("/etc/network/interfaces", kInterfaces));
    LX_TRY(tree.write("/etc/resolv.conf", ""));
    LX_TRY(tree.write(kProtectLinks, "# fs.protected_*: the host's\n"));
    for (const char* script : kForeignScripts) LX_TRY(leave_out(tree, script));
    if (!tree.exists("/usr/sbin/sshd")) return {};
    return tree.write("/etc/default/ssh", kSshDefaults);
}

}  // namespace lxmgr::images
