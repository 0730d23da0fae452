#pragma once
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "images/image.h"

namespace lxmgr::images {

/// What `lxmgr image build debian/12` is given.
struct BuildRequest {
    std::string distribution;  ///< one of distros(): "debian", "ubuntu", "fedora"
    std::string release;       ///< "12", "sid", "24.04", "42", or any suite name
    std::string mirror;        ///< empty: the machine's own sources, else the distribution's servers
    std::vector<std::string> extra_packages;
    std::string init = "systemd";  ///< or "sysvinit": see machine_init.h
    std::string output_dir;        ///< gets rootfs.squashfs (or .tar.zst) and metadata.tar.xz
    std::string keyring = {};      ///< file of the keys that sign the mirror; empty: the known ones
    std::vector<std::string> components = {};  ///< of apt's; empty: main, and of Ubuntu also universe
    bool is_unsigned = false;                  ///< take what nobody signed
};
/// Builds a split image from a mirror of packages: an init, DHCP on eth0 by netplan or NetworkManager where
/// that is among the packages, else by networkd (ifupdown with sysvinit), sudo, ping, a machine-friendly
/// package set; empty machine-id, no ssh host keys, no package lists. The same packages of Debian or Ubuntu
/// give the same root file system, byte for byte (SOURCE_DATE_EPOCH, sorted). `progress` gets lines for
/// people.
Result<ImageFiles> build_image(const BuildRequest& request, std::stop_token stop,
                               const std::function<void(const std::string&)>& progress);

}  // namespace lxmgr::images
