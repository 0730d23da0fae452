#include "network/dns_probe.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "lxd-daemon/base/own.h"

namespace lxmgr::network {
namespace {

constexpr std::uint16_t kPort = 53;
/// RFC 1035: id, flags (recursion desired), one question: lxmgr-probe, type A, class IN.
constexpr char kQuery[] =
    "\x4c\x58\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0blxmgr-probe\x00\x00\x01\x00\x01";

UniqueFd connect_to(const AnyAddress& server) {
    const auto* v4 = std::get_if<std::uint32_t>(&server);
    UniqueFd fd(::socket(v4 != nullptr ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd) return fd;
    sockaddr_in to4{};
    sockaddr_in6 to6{};
    to4.sin_family = AF_INET;
    to6.sin6_family = AF_INET6;
    to4.sin_port = to6.sin6_port = htons(kPort);
    int done = 0;
    if (v4 != nullptr) {
        to4.sin_addr.s_addr = htonl(*v4);
        done = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to4), sizeof to4);
    } else {
        std::memcpy(&to6.sin6_addr, std::get<Ipv6>(server).data(), sizeof to6.sin6_addr);
        done = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to6), sizeof to6);
    }
    if (done != 0) fd.reset();
    return fd;
}

}  // namespace

bool dns_answers(const AnyAddress& server, std::chrono::milliseconds timeout) {
    const UniqueFd fd = connect_to(server);
    if (!fd || ::send(fd.get(), kQuery, sizeof kQuery - 1, MSG_NOSIGNAL) < 0) return false;
    pollfd waiting{fd.get(), POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(timeout.count())) <= 0) return false;
    std::array<char, 512> answer;
    return ::recv(fd.get(), answer.data(), answer.size(), MSG_DONTWAIT) > 0;
}

}  // namespace lxmgr::network
