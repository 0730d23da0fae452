#include "lxmgr/relay.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <string_view>

namespace lxmgr::cli {
namespace {

constexpr std::size_t kMaxHead = 16384;
constexpr std::uint8_t kMasked = 0x80;

bool send_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
}

ssize_t receive_some(int fd, char* to, std::size_t size) {
    for (;;) {
        const ssize_t got = ::recv(fd, to, size, 0);
        if (got >= 0 || errno != EINTR) return got;
    }
}

bool receive_all(int fd, char* to, std::size_t size) {
    while (size > 0) {
        const ssize_t got = receive_some(fd, to, size);
        if (got <= 0) return false;
        to += got;
        size -= static_cast<std::size_t>(got);
    }
    return true;
}

/// RFC 6455, 4.1. Not a byte is read that is of the first frame.
Result<> ask_for_websocket(int fd, const Relay::End& end) {
    const auto head = fmt::format(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: bHhtZ3IncyByZWxheSB3cw==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        end.target, end.server.host.empty() ? "unix.socket" : end.server.host);
    std::string answer;
    if (!send_all(fd, head)) return fail(Status::unavailable, "The server ended the connection");
    for (char byte = 0; !answer.ends_with("\r\n\r\n"); answer += byte) {
        if (answer.size() == kMaxHead || !receive_all(fd, &byte, 1))
            return fail(Status::unavailable, "The server ended the connection before it was a websocket");
    }
    const std::string_view line = std::string_view(answer).substr(0, answer.find('\r'));
    if (line.contains(" 101 ")) return {};
    return fail(Status::unavailable, fmt::format("The server gives no websocket for the transfer: {}", line));
}

/// One frame: what a server sends has no mask, what it takes must have one (RFC 6455, 5.1). One of zeroes
/// changes nothing.
bool carry_frame(int from, int to, std::array<char, 65536>& buffer) {
    std::array<char, 10> head{};
    if (!receive_all(from, head.data(), 2)) return false;
    const auto length_byte = static_cast<std::uint8_t>(head[1]);
    if ((length_byte & kMasked) != 0) return false;
    const std::size_t more = length_byte == 126 ? 2 : length_byte == 127 ? 8 : 0;
    if (!receive_all(from, head.data() + 2, more)) return false;
    std::uint64_t left = more == 0 ? length_byte : 0;
    for (std::size_t i = 0; i < more; ++i) left = left << 8 | static_cast<std::uint8_t>(head[2 + i]);
    head[1] = static_cast<char>(length_byte | kMasked);
    if (!send_all(to, std::string(head.data(), 2 + more) + std::string(4, '\0'))) return false;
    while (left > 0) {
        const ssize_t got = receive_some(
            from, buffer.data(), left < buffer.size() ? static_cast<std::size_t>(left) : buffer.size());
        if (got <= 0 || !send_all(to, {buffer.data(), static_cast<std::size_t>(got)})) return false;
        left -= static_cast<std::uint64_t>(got);
    }
    return true;
}

void carry_frames(int from, int to) {
    std::array<char, 65536> buffer{};
    while (carry_frame(from, to, buffer)) {
    }
    ::shutdown(to, SHUT_WR);
}

}  // namespace

Relay::~Relay() {
    for (const auto& socket : sockets_) ::shutdown(socket.get(), SHUT_RDWR);
    for (auto& thread : threads_) thread.join();
}

Result<> Relay::join(const End& one, const End& other) {
    LX_TRY_AS(UniqueFd first, connect_to(one.server));
    LX_TRY_AS(UniqueFd second, connect_to(other.server));
    LX_TRY(ask_for_websocket(first.get(), one));
    LX_TRY(ask_for_websocket(second.get(), other));
    threads_.emplace_back(carry_frames, first.get(), second.get());
    threads_.emplace_back(carry_frames, second.get(), first.get());
    sockets_.push_back(std::move(first));
    sockets_.push_back(std::move(second));
    return {};
}

}  // namespace lxmgr::cli
