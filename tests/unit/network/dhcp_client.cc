#include "tests/unit/network/dhcp_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/strings.h"
#include "network/ip.h"

namespace lxmgr::network {
namespace {

constexpr int kOffer = 2, kRequest = 3, kAck = 5, kDiscover = 1;

std::string packet_of(int type, const Mac& mac, std::uint32_t transaction) {
    std::string out(236, '\0');
    out[0] = 1;
    out[1] = 1;
    out[2] = 6;
    for (std::size_t i = 0; i < 4; ++i) out[4 + i] = static_cast<char>(transaction >> (24 - 8 * i));
    out[10] = static_cast<char>(0x80);  // answer by broadcast: we have no address
    for (std::size_t i = 0; i < 6; ++i) out[28 + i] = static_cast<char>(mac[i]);
    out += "\x63\x82\x53\x63";
    out += std::string{53, 1, static_cast<char>(type)};
    out += std::string{55, 5, 1, 3, 6, 15, 119};
    return out;
}

std::map<int, std::string> options_of(const std::string& packet) {
    std::map<int, std::string> out;
    for (std::size_t at = 240; at + 1 < packet.size();) {
        const int code = static_cast<unsigned char>(packet[at]);
        if (code == 255) break;
        if (code == 0) {
            ++at;
            continue;
        }
        const auto size = static_cast<unsigned char>(packet[at + 1]);
        out[code] = packet.substr(at + 2, size);
        at += 2u + size;
    }
    return out;
}

UniqueFd client_socket(const std::string& interface) {
    UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    EXPECT_EQ(::setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, interface.c_str(),
                           static_cast<socklen_t>(interface.size())),
              0);
    sockaddr_in self{};
    self.sin_family = AF_INET;
    self.sin_port = htons(68);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&self), sizeof self), 0);
    return fd;
}

std::optional<std::string> receive(int fd, std::uint32_t transaction, int type, int timeout_ms) {
    for (;;) {
        pollfd poll_fd{fd, POLLIN, 0};
        if (::poll(&poll_fd, 1, timeout_ms) <= 0) return std::nullopt;
        std::string packet(2048, '\0');
        const ssize_t n = ::recv(fd, packet.data(), packet.size(), 0);
        if (n < 240) continue;
        packet.resize(static_cast<std::size_t>(n));
        std::uint32_t got = 0;
        for (std::size_t i = 0; i < 4; ++i) got = got << 8 | static_cast<unsigned char>(packet[4 + i]);
        const auto options = options_of(packet);
        const auto found = options.find(53);
        if (got == transaction && found != options.end() &&
            found->second == std::string(1, static_cast<char>(type)))
            return packet;
    }
}

/// A link that has just come up may lose the first packets: as clients do, ask again.
std::optional<std::string> ask(int fd, const std::string& packet, std::uint32_t transaction, int answer) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(67);
    to.sin_addr.s_addr = INADDR_BROADCAST;
    for (int attempt = 0; attempt < 6; ++attempt) {
        EXPECT_EQ(::sendto(fd, packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to),
                  static_cast<ssize_t>(packet.size()));
        if (auto got = receive(fd, transaction, answer, 700)) return got;
    }
    return std::nullopt;
}

}  // namespace

std::optional<DhcpOffer> dhcp_exchange(const std::string& interface, const std::string& hwaddr,
                                       const std::string& client_id, const std::string& hostname) {
    const UniqueFd fd = client_socket(interface);
    const Mac mac = *parse_mac(hwaddr);
    const auto transaction = static_cast<std::uint32_t>(std::stoul(random_hex(4), nullptr, 16));
    std::string extra;
    if (!client_id.empty()) extra += std::string{61, static_cast<char>(client_id.size())} + client_id;
    if (!hostname.empty()) extra += std::string{12, static_cast<char>(hostname.size())} + hostname;
    const auto offer =
        ask(fd.get(), packet_of(kDiscover, mac, transaction) + extra + '\xff', transaction, kOffer);
    if (!offer) return std::nullopt;
    std::string request = packet_of(kRequest, mac, transaction) + extra;
    request += std::string{50, 4} + offer->substr(16, 4);
    request += std::string{54, 4} + options_of(*offer)[54];
    const auto ack = ask(fd.get(), request + '\xff', transaction, kAck);
    if (!ack) return std::nullopt;
    in_addr address{};
    ack->copy(reinterpret_cast<char*>(&address), 4, 16);
    return DhcpOffer{format_ipv4(ntohl(address.s_addr)), options_of(*ack)};
}

void configure_ipv4(const std::string& interface, const std::string& address, int prefix,
                    const std::string& gateway) {
    const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    interface.copy(request.ifr_name, IFNAMSIZ - 1);
    auto* to = reinterpret_cast<sockaddr_in*>(&request.ifr_addr);
    to->sin_family = AF_INET;
    to->sin_addr.s_addr = htonl(*parse_ipv4(address));
    ASSERT_EQ(::ioctl(fd.get(), SIOCSIFADDR, &request), 0);
    const Ipv4Net net{0, prefix};
    to->sin_addr.s_addr = htonl(net.mask());
    ASSERT_EQ(::ioctl(fd.get(), SIOCSIFNETMASK, &request), 0);
    if (gateway.empty()) return;
    rtentry route{};
    for (auto* part : {&route.rt_dst, &route.rt_genmask, &route.rt_gateway}) part->sa_family = AF_INET;
    reinterpret_cast<sockaddr_in*>(&route.rt_gateway)->sin_addr.s_addr = htonl(*parse_ipv4(gateway));
    route.rt_flags = RTF_UP | RTF_GATEWAY;
    ASSERT_EQ(::ioctl(fd.get(), SIOCADDRT, &route), 0);
}

std::string dns_lookup(const std::string& server, const std::string& name, int timeout_ms) {
    std::string query{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    for (const auto& label : split(name, '.')) query += static_cast<char>(label.size()) + label;
    query += std::string{0, 0, 1, 0, 1};
    const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(53);
    to.sin_addr.s_addr = htonl(*parse_ipv4(server));
    if (::sendto(fd.get(), query.data(), query.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to) < 0)
        return "TIMEOUT";
    pollfd poll_fd{fd.get(), POLLIN, 0};
    if (::poll(&poll_fd, 1, timeout_ms) <= 0) return "TIMEOUT";
    std::string answer(1500, '\0');
    const ssize_t n = ::recv(fd.get(), answer.data(), answer.size(), 0);
    if (n < 12) return "TIMEOUT";
    answer.resize(static_cast<std::size_t>(n));
    if ((answer[3] & 0xf) == 3) return "NXDOMAIN";
    if ((answer[3] & 0xf) != 0) return "REFUSED";
    if (answer[7] == 0 || answer.size() < query.size() + 16) return "EMPTY";
    in_addr address{};
    answer.copy(reinterpret_cast<char*>(&address), 4, query.size() + 12);
    return format_ipv4(ntohl(address.s_addr));
}

}  // namespace lxmgr::network
