#include "images/machine_tree.h"

#include <array>

namespace lxmgr::images {
namespace {

constexpr const char* kHosts =
    "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost "
    "ip6-loopback\nff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n";
// Debian's cloud-init wants en_US.UTF-8, and fails where the package locales is not there.
constexpr const char* kCloudLocale = "locale: C.UTF-8\n";
constexpr std::array kUnwanted{"/var/lib/dbus/machine-id",
                               "/var/cache/ldconfig/aux-cache",
                               "/etc/apt/apt.conf.d/99mmdebstrap",
                               "/etc/dpkg/dpkg.cfg.d/99mmdebstrap",
                               "/var/lib/systemd/random-seed",
                               "/var/lib/systemd/credential.secret",
                               "/etc/.pwd.lock"};
constexpr std::array kEmptied{"/dev", "/run", "/tmp", "/var/tmp", "/var/cache/dnf", "/var/cache/libdnf5"};

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

Result<> finish_machine_tree(const RootTree& tree, const MachineInit& init, const char* locale_path) {
    LX_TRY(init.set_up(tree));
    LX_TRY(tree.write("/etc/hostname", "localhost\n"));
    LX_TRY(tree.write("/etc/hosts", kHosts));
    if (!tree.exists(locale_path)) LX_TRY(tree.write(locale_path, "LANG=C.UTF-8\n"));
    if (tree.exists("/usr/bin/cloud-init"))
        LX_TRY(tree.write("/etc/cloud/cloud.cfg.d/90_locale.cfg", kCloudLocale));
    return clean(tree);
}

}  // namespace lxmgr::images
