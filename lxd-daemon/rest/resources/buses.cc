#include <cstdlib>
#include <map>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/resources/hardware_names.h"
#include "lxd-daemon/rest/resources/parts.h"

namespace lxmgr::rest {
namespace {

using nlohmann::json;

const std::string kPci = "/sys/bus/pci/devices/";
const std::string kUsb = "/sys/bus/usb/devices/";

std::uint64_t hex_number(const std::string& text) { return std::strtoull(text.c_str(), nullptr, 16); }

/// https://www.usb.org/defined-class-codes
std::string usb_class(std::uint64_t id) {
    static const std::map<std::uint64_t, const char*> kNames{{0x01, "Audio"},
                                                             {0x02, "Communications"},
                                                             {0x03, "Human Interface Device"},
                                                             {0x05, "Physical"},
                                                             {0x06, "Image"},
                                                             {0x07, "Printer"},
                                                             {0x08, "Mass Storage"},
                                                             {0x09, "Hub"},
                                                             {0x0a, "CDC Data"},
                                                             {0x0b, "Smart Card"},
                                                             {0x0d, "Content Security"},
                                                             {0x0e, "Video"},
                                                             {0x0f, "Personal Healthcare"},
                                                             {0x10, "Audio/Video"},
                                                             {0xdc, "Diagnostic"},
                                                             {0xe0, "Wireless"},
                                                             {0xef, "Miscellaneous"},
                                                             {0xfe, "Application Specific"},
                                                             {0xff, "Vendor Specific"}};
    const auto found = kNames.find(id);
    return found == kNames.end() ? "" : found->second;
}

json describe_usb_interface(const KernelFiles& files, const std::string& path) {
    const auto id = hex_number(files.line(path + "/bInterfaceClass"));
    json shown{{"class_id", id},
               {"class", usb_class(id)},
               {"subclass_id", hex_number(files.line(path + "/bInterfaceSubClass"))},
               {"subclass", ""},
               {"number", hex_number(files.line(path + "/bInterfaceNumber"))}};
    set_driver(shown, files, path);
    return shown;
}

json describe_usb_device(const KernelFiles& files, const std::string& name, const HardwareNames& names) {
    const std::string path = kUsb + name;
    json shown{{"bus_address", files.number(path + "/busnum")},
               {"device_address", files.number(path + "/devnum")},
               {"speed", std::strtod(files.line(path + "/speed").c_str(), nullptr)},
               {"vendor", files.line(path + "/manufacturer")},
               {"product", files.line(path + "/product")},
               {"serial", files.line(path + "/serial")},
               {"interfaces", json::array()}};
    names.set(shown, files.line(path + "/idVendor"), files.line(path + "/idProduct"));
    for (const auto& entry : files.names(path)) {
        if (entry.find(':') != std::string::npos && files.has(path + "/" + entry + "/bInterfaceClass"))
            shown["interfaces"].push_back(describe_usb_interface(files, path + "/" + entry));
    }
    return shown;
}

std::string pci_id(const KernelFiles& files, const std::string& address, const char* file) {
    return without_0x(files.line(kPci + address + "/" + file));
}

json describe_pci_device(const KernelFiles& files, const std::string& address, const HardwareNames& names) {
    const std::string path = kPci + address;
    json shown{{"pci_address", address}, {"numa_node", numa_node(files, path)}, {"vpd", json::object()}};
    set_driver(shown, files, path);
    names.set(shown, pci_id(files, address, "vendor"), pci_id(files, address, "device"));
    const auto group = parse_uint(files.link(path + "/iommu_group"));
    shown["iommu_group"] = group.value_or(0);
    return shown;
}

/// The nodes of a card: "card0", "renderD128", "controlD64".
json describe_drm(const KernelFiles& files, const std::string& path) {
    json drm = json::object();
    for (const auto& entry : files.names(path)) {
        for (const std::string kind : {"card", "control", "render"}) {
            if (!entry.starts_with(kind)) continue;
            drm[kind + "_name"] = entry;
            drm[kind + "_device"] = files.line(path + "/" + entry + "/dev");
            if (kind == "card") drm["id"] = parse_uint(std::string_view(entry).substr(4)).value_or(0);
        }
    }
    return drm;
}

json describe_gpu(const KernelFiles& files, const std::string& address, const HardwareNames& names) {
    const std::string path = kPci + address;
    json card{{"pci_address", address}, {"numa_node", numa_node(files, path)}};
    set_driver(card, files, path);
    names.set(card, pci_id(files, address, "vendor"), pci_id(files, address, "device"));
    if (files.has(path + "/drm")) card["drm"] = describe_drm(files, path + "/drm");
    if (files.number(path + "/sriov_totalvfs") > 0) {
        card["sriov"] = {{"current_vfs", files.number(path + "/sriov_numvfs")},
                         {"maximum_vfs", files.number(path + "/sriov_totalvfs")},
                         {"vfs", json::array()}};
    }
    return card;
}

}  // namespace

json pci_resources(const KernelFiles& files) {
    const HardwareNames names(files, "pci.ids");
    json devices = json::array();
    for (const auto& address : files.names(kPci))
        devices.push_back(describe_pci_device(files, address, names));
    return {{"total", devices.size()}, {"devices", devices}};
}

/// Display controllers, class 03 of the PCI Code and ID Assignment.
json gpu_resources(const KernelFiles& files) {
    const HardwareNames names(files, "pci.ids");
    json cards = json::array();
    for (const auto& address : files.names(kPci)) {
        const bool is_display = pci_id(files, address, "class").starts_with("03");
        if (is_display) cards.push_back(describe_gpu(files, address, names));
    }
    return {{"total", cards.size()}, {"cards", cards}};
}

/// Without hubs.
json usb_resources(const KernelFiles& files) {
    const HardwareNames names(files, "usb.ids");
    json devices = json::array();
    for (const auto& name : files.names(kUsb)) {
        const auto kind = files.line(kUsb + name + "/bDeviceClass");
        if (!kind.empty() && kind != "09") devices.push_back(describe_usb_device(files, name, names));
    }
    return {{"total", devices.size()}, {"devices", devices}};
}

}  // namespace lxmgr::rest
