#include "network/dhcp_release.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <variant>

#include "lxd-daemon/base/own.h"

namespace lxmgr::network {
namespace {

constexpr std::size_t kDhcpHeaderBytes = 236;  // RFC 2131, figure 1, up to the options
constexpr std::size_t kMinimumBytes = 300;     // BOOTP's size, which some servers insist on
constexpr std::uint16_t kServerPort = 67;

void put_u32(std::string& packet, std::size_t at, std::uint32_t value) {
    for (std::size_t i = 0; i < 4; ++i) packet[at + i] = static_cast<char>(value >> (24 - 8 * i));
}

void add_option(std::string& packet, int code, std::string_view value) {
    packet += static_cast<char>(code);
    packet += static_cast<char>(value.size());
    packet += value;
}

}  // namespace

std::string release_packet(const FileLease& lease, std::uint32_t server, std::uint32_t transaction) {
    std::string packet(kDhcpHeaderBytes, '\0');
    packet[0] = 1;  // BOOTREQUEST
    packet[1] = 1;  // Ethernet
    packet[2] = 6;  // bytes of a MAC
    put_u32(packet, 4, transaction);
    put_u32(packet, 12, std::get<std::uint32_t>(lease.address));  // ciaddr
    if (lease.hwaddr) {
        for (std::size_t i = 0; i < lease.hwaddr->size(); ++i)
            packet[28 + i] = static_cast<char>((*lease.hwaddr)[i]);
    }
    packet += "\x63\x82\x53\x63";    // the magic cookie
    add_option(packet, 53, "\x07");  // DHCPRELEASE
    std::string id(4, '\0');
    put_u32(id, 0, server);
    add_option(packet, 54, id);  // server identifier
    if (!lease.client_id.empty() && lease.client_id.size() <= 255) add_option(packet, 61, lease.client_id);
    packet += '\xff';
    if (packet.size() < kMinimumBytes) packet.resize(kMinimumBytes, '\0');
    return packet;
}

Result<> release_lease(const std::string& bridge, const FileLease& lease, std::uint32_t server) {
    const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd) return fail_errno("socket", "AF_INET");
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, bridge.c_str(),
                     static_cast<socklen_t>(bridge.size())) != 0) {
        return fail_errno("SO_BINDTODEVICE", bridge);
    }
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(kServerPort);
    to.sin_addr.s_addr = htonl(server);
    const std::string packet = release_packet(lease, server, std::get<std::uint32_t>(lease.address));
    const ssize_t sent = ::sendto(fd.get(), packet.data(), packet.size(), MSG_DONTWAIT,
                                  reinterpret_cast<sockaddr*>(&to), sizeof to);
    if (sent < 0) return fail_errno("Releasing the lease of", lease.address_text());
    return {};
}

}  // namespace lxmgr::network
