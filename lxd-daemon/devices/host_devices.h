#pragma once
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"

/// The devices of the host that have a node, as sysfs tells them. Functions of a root, so that a test can
/// show another one.
namespace lxmgr::devices {

struct HostDevice {
    bool block = false;
    unsigned major = 0, minor = 0;
    std::string node;            ///< beneath /dev: "bus/usb/001/002"
    std::string subsystem;       ///< "usb", "drm", "tty", ...
    bool is_usb_device = false;  ///< the node of the USB device itself, not of one of its functions
    // Of the device itself or the nearest one that it is part of; hexadecimal, lower case, without 0x.
    std::string vendor, product;
    std::string serial, busnum, devnum;  ///< USB
    std::string pci;                     ///< address: "0000:01:00.0"
    std::string card;                    ///< of each node of a graphics card: the number of its dri/card
};

/// In the order of their nodes.
std::vector<HostDevice> list_host_devices(const std::string& sys_root = "/sys");

// Whether a device of an instance means this one, by its keys.
bool is_meant_by_usb(const api::ConfigMap& keys, const HostDevice& device);
bool is_meant_by_unix_hotplug(const api::ConfigMap& keys, const HostDevice& device);
bool is_meant_by_gpu(const api::ConfigMap& keys, const HostDevice& device);

}  // namespace lxmgr::devices
