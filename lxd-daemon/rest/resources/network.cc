#include <map>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/resources/hardware_names.h"
#include "lxd-daemon/rest/resources/parts.h"
#include "lxd-daemon/sys/ethtool.h"

namespace lxmgr::rest {
namespace {

using nlohmann::json;

const std::string kNet = "/sys/class/net/";

json describe_port(const KernelFiles& files, const std::string& name, const sys::EthernetLink& link) {
    const std::string path = kNet + name;
    const auto type = files.number(path + "/type");  // ARPHRD_* of linux/if_arp.h
    json port{{"id", name},
              {"port", files.number(path + "/dev_port")},
              {"protocol", type == 32 ? "infiniband" : "ethernet"},
              {"auto_negotiation", link.auto_negotiation},
              {"link_detected", files.line(path + "/carrier") == "1"}};
    set_text(port, "address", files.line(path + "/address"));
    set_text(port, "port_type", link.port_type);
    set_text(port, "transceiver_type", link.transceiver_type);
    if (!link.supported_modes.empty()) port["supported_modes"] = link.supported_modes;
    if (!link.supported_ports.empty()) port["supported_ports"] = link.supported_ports;
    const auto speed = files.number(path + "/speed");  // "-1": unknown
    if (speed > 0) port["link_speed"] = speed;
    if (speed > 0) set_text(port, "link_duplex", link.duplex);
    return port;
}

json describe_card(const KernelFiles& files, const std::string& name, const HardwareNames& names) {
    const std::string device = kNet + name + "/device";
    json card{{"numa_node", numa_node(files, device)}, {"ports", json::array()}};
    set_driver(card, files, device);
    set_text(card, "pci_address", pci_address(files, device));
    set_text(card, "usb_address", usb_address(files, device));
    // A virtio device is no PCI device, but stands on one.
    const auto pci = pci_address(files, device);
    if (!pci.empty()) {
        const std::string path = "/sys/bus/pci/devices/" + pci;
        names.set(card, without_0x(files.line(path + "/vendor")), without_0x(files.line(path + "/device")));
    }
    if (files.has(device + "/sriov_totalvfs") && files.number(device + "/sriov_totalvfs") > 0) {
        card["sriov"] = {{"current_vfs", files.number(device + "/sriov_numvfs")},
                         {"maximum_vfs", files.number(device + "/sriov_totalvfs")},
                         {"vfs", json::array()}};
    }
    return card;
}

}  // namespace

json network_resources(const KernelFiles& files) {
    const HardwareNames names(files, "pci.ids");
    std::map<std::string, json> cards;  // by device: one may have several ports
    for (const auto& name : files.names(kNet)) {
        const std::string device = kNet + name + "/device";
        if (!files.has(device)) continue;  // bridges, veths, tunnels
        const auto link = files.is_host() ? sys::read_ethernet_link(name) : sys::EthernetLink{};
        auto& card = cards.try_emplace(files.real(device), describe_card(files, name, names)).first->second;
        set_text(card, "firmware_version", link.firmware_version);
        card["ports"].push_back(describe_port(files, name, link));
    }
    json shown = json::array();
    for (auto& [path, card] : cards) {
        const auto physical =
            files.has(path + "/physfn") ? cards.find(files.real(path + "/physfn")) : cards.end();
        if (physical != cards.end() && physical->second.contains("sriov"))
            physical->second["sriov"]["vfs"].push_back(card);
    }
    for (auto& [path, card] : cards) {
        const bool shown_elsewhere =
            files.has(path + "/physfn") && cards.contains(files.real(path + "/physfn"));
        if (!shown_elsewhere) shown.push_back(std::move(card));
    }
    const auto total = cards.size();
    return {{"total", total}, {"cards", shown}};
}

}  // namespace lxmgr::rest
