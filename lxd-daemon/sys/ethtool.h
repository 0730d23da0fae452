#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace lxmgr::sys {

/// What a network interface's driver says about itself and its link: ethtool netlink's older sister,
/// SIOCETHTOOL of linux/ethtool.h.
struct EthernetLink {
    std::string firmware_version;
    std::vector<std::string> supported_modes;  ///< "1000baseT/Full"
    std::vector<std::string> supported_ports;  ///< "twisted pair", "fibre", ...
    std::string port_type, transceiver_type;
    std::string duplex;  ///< "full", "half"; empty: unknown
    bool auto_negotiation = false;
};

/// Of an interface of this network namespace. What the driver does not tell stays empty.
EthernetLink read_ethernet_link(const std::string& interface);

}  // namespace lxmgr::sys
