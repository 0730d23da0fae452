#include "lxd-daemon/sys/ethtool.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "lxd-daemon/base/own.h"

namespace lxmgr::sys {
namespace {

struct NamedBit {
    unsigned bit;
    const char* name;
};

constexpr std::array kLinkModes{
    NamedBit{ETHTOOL_LINK_MODE_10baseT_Half_BIT, "10baseT/Half"},
    NamedBit{ETHTOOL_LINK_MODE_10baseT_Full_BIT, "10baseT/Full"},
    NamedBit{ETHTOOL_LINK_MODE_100baseT_Half_BIT, "100baseT/Half"},
    NamedBit{ETHTOOL_LINK_MODE_100baseT_Full_BIT, "100baseT/Full"},
    NamedBit{ETHTOOL_LINK_MODE_1000baseT_Half_BIT, "1000baseT/Half"},
    NamedBit{ETHTOOL_LINK_MODE_1000baseT_Full_BIT, "1000baseT/Full"},
    NamedBit{ETHTOOL_LINK_MODE_1000baseX_Full_BIT, "1000baseX/Full"},
    NamedBit{ETHTOOL_LINK_MODE_1000baseKX_Full_BIT, "1000baseKX/Full"},
    NamedBit{ETHTOOL_LINK_MODE_2500baseT_Full_BIT, "2500baseT/Full"},
    NamedBit{ETHTOOL_LINK_MODE_2500baseX_Full_BIT, "2500baseX/Full"},
    NamedBit{ETHTOOL_LINK_MODE_5000baseT_Full_BIT, "5000baseT/Full"},
    NamedBit{ETHTOOL_LINK_MODE_10000baseT_Full_BIT, "10000baseT/Full"},
    NamedBit{ETHTOOL_LINK_MODE_10000baseKX4_Full_BIT, "10000baseKX4/Full"},
    NamedBit{ETHTOOL_LINK_MODE_10000baseKR_Full_BIT, "10000baseKR/Full"},
    NamedBit{ETHTOOL_LINK_MODE_10000baseCR_Full_BIT, "10000baseCR/Full"},
    NamedBit{ETHTOOL_LINK_MODE_10000baseSR_Full_BIT, "10000baseSR/Full"},
    NamedBit{ETHTOOL_LINK_MODE_10000baseLR_Full_BIT, "10000baseLR/Full"},
    NamedBit{ETHTOOL_LINK_MODE_25000baseCR_Full_BIT, "25000baseCR/Full"},
    NamedBit{ETHTOOL_LINK_MODE_25000baseKR_Full_BIT, "25000baseKR/Full"},
    NamedBit{ETHTOOL_LINK_MODE_25000baseSR_Full_BIT, "25000baseSR/Full"},
    NamedBit{ETHTOOL_LINK_MODE_40000baseKR4_Full_BIT, "40000baseKR4/Full"},
    NamedBit{ETHTOOL_LINK_MODE_40000baseCR4_Full_BIT, "40000baseCR4/Full"},
    NamedBit{ETHTOOL_LINK_MODE_40000baseSR4_Full_BIT, "40000baseSR4/Full"},
    NamedBit{ETHTOOL_LINK_MODE_40000baseLR4_Full_BIT, "40000baseLR4/Full"},
    NamedBit{ETHTOOL_LINK_MODE_50000baseCR2_Full_BIT, "50000baseCR2/Full"},
    NamedBit{ETHTOOL_LINK_MODE_50000baseKR2_Full_BIT, "50000baseKR2/Full"},
    NamedBit{ETHTOOL_LINK_MODE_100000baseKR4_Full_BIT, "100000baseKR4/Full"},
    NamedBit{ETHTOOL_LINK_MODE_100000baseSR4_Full_BIT, "100000baseSR4/Full"},
    NamedBit{ETHTOOL_LINK_MODE_100000baseCR4_Full_BIT, "100000baseCR4/Full"},
    NamedBit{ETHTOOL_LINK_MODE_100000baseLR4_ER4_Full_BIT, "100000baseLR4_ER4/Full"},
};

constexpr std::array kSupportedPorts{
    NamedBit{ETHTOOL_LINK_MODE_TP_BIT, "twisted pair"},
    NamedBit{ETHTOOL_LINK_MODE_AUI_BIT, "AUI"},
    NamedBit{ETHTOOL_LINK_MODE_MII_BIT, "media-independent"},
    NamedBit{ETHTOOL_LINK_MODE_FIBRE_BIT, "fibre"},
    NamedBit{ETHTOOL_LINK_MODE_BNC_BIT, "BNC"},
    NamedBit{ETHTOOL_LINK_MODE_Backplane_BIT, "backplane"},
};

/// PORT_* are indices.
constexpr std::array kPortTypes{"twisted pair", "AUI", "media-independent", "fibre", "BNC", "direct attach"};

constexpr unsigned kMaskWords =
    3 * 127;  ///< what the kernel may ask for: three masks, a signed byte of words

/// ethtool_link_settings with the masks behind it, as the kernel reads and writes them.
struct LinkRequest {
    alignas(ethtool_link_settings)
        std::array<char, sizeof(ethtool_link_settings) + kMaskWords * sizeof(std::uint32_t)> bytes{};

    explicit LinkRequest(std::int8_t words) {
        ethtool_link_settings settings{};
        settings.cmd = ETHTOOL_GLINKSETTINGS;
        settings.link_mode_masks_nwords = words;
        std::memcpy(bytes.data(), &settings, sizeof settings);
    }
    [[nodiscard]] ethtool_link_settings settings() const {
        ethtool_link_settings out{};
        std::memcpy(&out, bytes.data(), sizeof out);
        return out;
    }
    [[nodiscard]] std::uint32_t word(unsigned number) const {
        std::uint32_t out = 0;
        std::memcpy(&out, bytes.data() + sizeof(ethtool_link_settings) + number * sizeof out, sizeof out);
        return out;
    }
};

bool ask(int socket, const std::string& interface, void* request) {
    ifreq named{};
    interface.copy(named.ifr_name, IFNAMSIZ - 1);
    named.ifr_data = static_cast<char*>(request);
    return ::ioctl(socket, SIOCETHTOOL, &named) == 0;
}

template <std::size_t Size>
std::vector<std::string> names_of(const LinkRequest& request, const std::array<NamedBit, Size>& bits) {
    std::vector<std::string> out;
    const auto words = static_cast<unsigned>(request.settings().link_mode_masks_nwords);
    for (const auto& [bit, name] : bits) {
        if (bit / 32 < words && (request.word(bit / 32) >> (bit % 32) & 1U) != 0) out.emplace_back(name);
    }
    return out;
}

void read_settings(int socket, const std::string& interface, EthernetLink& out) {
    // The first answer is how many words the masks have, negated; the second fills them (linux/ethtool.h).
    LinkRequest first(0);
    if (!ask(socket, interface, first.bytes.data()) || first.settings().link_mode_masks_nwords >= 0) return;
    const auto words = static_cast<std::int8_t>(-first.settings().link_mode_masks_nwords);
    LinkRequest request(words);
    if (!ask(socket, interface, request.bytes.data())) return;
    const auto settings = request.settings();
    if (settings.link_mode_masks_nwords != words) return;
    out.supported_modes = names_of(request, kLinkModes);
    out.supported_ports = names_of(request, kSupportedPorts);
    out.auto_negotiation = settings.autoneg == AUTONEG_ENABLE;
    if (settings.port < kPortTypes.size()) out.port_type = kPortTypes.at(settings.port);
    if (settings.transceiver == XCVR_INTERNAL) out.transceiver_type = "internal";
    if (settings.transceiver == XCVR_EXTERNAL) out.transceiver_type = "external";
    if (settings.duplex == DUPLEX_FULL) out.duplex = "full";
    if (settings.duplex == DUPLEX_HALF) out.duplex = "half";
}

}  // namespace

EthernetLink read_ethernet_link(const std::string& interface) {
    EthernetLink out;
    const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket) return out;
    read_settings(socket.get(), interface, out);
    ethtool_drvinfo driver{};
    driver.cmd = ETHTOOL_GDRVINFO;
    if (!ask(socket.get(), interface, &driver)) return out;
    const std::string firmware(driver.fw_version, ::strnlen(driver.fw_version, sizeof driver.fw_version));
    if (firmware != "N/A") out.firmware_version = firmware;
    return out;
}

}  // namespace lxmgr::sys
