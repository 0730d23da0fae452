#include "lxd-daemon/rest/https/proxy_header.h"

#include <arpa/inet.h>

#include <array>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <limits>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::rest {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using TcpSocket = asio::ip::tcp::socket;

constexpr std::size_t kLongestLine = 107;
constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kBinaryHead = 16;
constexpr std::size_t kMostBinary = 1024;

std::unexpected<Error> bad_header() { return fail(Status::bad_request, "Bad PROXY header"); }

unsigned byte_at(std::string_view text, std::size_t at) { return static_cast<unsigned char>(text[at]); }

/// As the kernel writes it; empty when it is none.
std::string canonical(int family, const std::string& text) {
    std::array<unsigned char, sizeof(in6_addr)> address{};
    std::array<char, INET6_ADDRSTRLEN> out{};
    if (::inet_pton(family, text.c_str(), address.data()) != 1) return {};
    return ::inet_ntop(family, address.data(), out.data(), out.size());
}

std::string text_of(int family, std::string_view bytes) {
    std::array<char, INET6_ADDRSTRLEN> out{};
    return ::inet_ntop(family, bytes.data(), out.data(), out.size());
}

asio::awaitable<bool> read_more_of(TcpSocket& socket, std::string& text, std::size_t size) {
    const auto at = text.size();
    text.resize(at + size);
    error_code error;
    auto reading = asio::async_read(socket, asio::buffer(text.data() + at, size),
                                    asio::redirect_error(asio::use_awaitable, error));
    co_await std::move(reading);
    co_return !error;
}

std::unexpected<Error> connection_ended() { return fail(Status::unavailable, "The connection ended"); }

}  // namespace

Result<ProxySource> parse_proxy_line(std::string_view line) {
    if (!line.starts_with("PROXY ") || !line.ends_with("\r\n")) return bad_header();
    const auto words = split(line.substr(0, line.size() - 2), ' ');
    if (words.size() >= 2 && words[1] == "UNKNOWN") return ProxySource{};
    if (words.size() != 6 || (words[1] != "TCP4" && words[1] != "TCP6")) return bad_header();
    const int family = words[1] == "TCP4" ? AF_INET : AF_INET6;
    const auto port = parse_uint(words[4]);
    ProxySource out{canonical(family, words[2]), 0};
    const bool good = port && *port <= std::numeric_limits<std::uint16_t>::max() && parse_uint(words[5]) &&
                      !canonical(family, words[3]).empty();
    if (out.host.empty() || !good) return bad_header();
    out.port = static_cast<std::uint16_t>(*port);
    return out;
}

Result<ProxySource> parse_proxy_binary(std::string_view header) {
    if (header.size() < kBinaryHead || !header.starts_with(kSignature) || byte_at(header, 12) >> 4U != 2)
        return bad_header();
    if (header.size() != kBinaryHead + byte_at(header, 14) * 256 + byte_at(header, 15)) return bad_header();
    const unsigned command = byte_at(header, 12) & 0xFU;
    if (command == 0) return ProxySource{};  // a health check of the proxy's own
    if (command != 1) return bad_header();
    const unsigned kind = byte_at(header, 13);
    if (kind != 0x11 && kind != 0x21) return ProxySource{};  // neither TCP over IPv4 nor over IPv6
    const std::size_t size = kind == 0x11 ? 4 : 16;
    const auto addresses = header.substr(kBinaryHead);
    if (addresses.size() < 2 * size + 4) return bad_header();
    ProxySource out{text_of(kind == 0x11 ? AF_INET : AF_INET6, addresses), 0};
    out.port =
        static_cast<std::uint16_t>(byte_at(addresses, 2 * size) * 256 + byte_at(addresses, 2 * size + 1));
    return out;
}

asio::awaitable<Result<std::optional<ProxySource>>> read_proxy_header(TcpSocket& socket) {
    char first = 0;
    error_code error;
    auto peeking = socket.async_receive(asio::buffer(&first, 1), TcpSocket::message_peek,
                                        asio::redirect_error(asio::use_awaitable, error));
    co_await std::move(peeking);
    if (error) co_return connection_ended();
    std::string text;
    if (first == 'P') {
        while (!text.ends_with("\r\n")) {
            if (text.size() >= kLongestLine) co_return bad_header();
            auto reading = read_more_of(socket, text, 1);
            if (!co_await std::move(reading)) co_return connection_ended();
        }
        LX_CO_TRY_AS(auto source, parse_proxy_line(text));
        co_return std::optional(std::move(source));
    }
    if (first != kSignature[0]) co_return std::optional<ProxySource>{};
    auto beginning = read_more_of(socket, text, kBinaryHead);
    if (!co_await std::move(beginning)) co_return connection_ended();
    const std::size_t more = byte_at(text, 14) * 256 + byte_at(text, 15);
    if (more > kMostBinary) co_return bad_header();
    auto going_on = read_more_of(socket, text, more);
    if (!co_await std::move(going_on)) co_return connection_ended();
    LX_CO_TRY_AS(auto source, parse_proxy_binary(text));
    co_return std::optional(std::move(source));
}

}  // namespace lxmgr::rest
