#pragma once
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "images/image.h"

namespace lxmgr::images {

/// What `lxmgr image build debian/12` is given.
struct BuildRequest {
    std::string distribution;  ///< "debian"
    std::string release;       ///< "12", "13", "sid", or any mmdebstrap suite name
    std::string mirror;        ///< empty: the machine's own apt sources
    std::vector<std::string> extra_packages;
    std::string init = "systemd";  ///< or "sysvinit": see machine_init.h
    std::string output_dir;        ///< gets rootfs.squashfs (or .tar.zst) and metadata.tar.xz
};
/// Builds a split image with mmdebstrap from the machine's own apt mirror: an init, DHCP on eth0 by netplan
/// or NetworkManager where that is among the packages, else by networkd (ifupdown with sysvinit), sudo, ping,
/// a machine-friendly package set; empty machine-id, no ssh host keys, no apt lists. The same packages give
/// the same root file system, byte for byte (SOURCE_DATE_EPOCH, sorted). `progress` gets lines for people.
Result<ImageFiles> build_image(const BuildRequest& request, std::stop_token stop,
                               const std::function<void(const std::string&)>& progress);

}  // namespace lxmgr::images
