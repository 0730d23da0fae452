#include "lxd-daemon/rest/https/proxy_header.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <cstdlib>
#include <string_view>

/// What a proxy that core.https_trusted_proxy names says for whom it speaks: any bytes end in an address, in
/// none or in an error, the same for whoever parses them and for whoever reads them off a connection.
namespace {

using namespace lxmgr;
using boost::asio::ip::tcp;
using Read = Result<std::optional<rest::ProxySource>>;

bool is_address(const std::string& text) {
    std::array<unsigned char, sizeof(in6_addr)> address{};
    return ::inet_pton(AF_INET, text.c_str(), address.data()) == 1 ||
           ::inet_pton(AF_INET6, text.c_str(), address.data()) == 1;
}

void check(const Result<rest::ProxySource>& source) {
    if (source && !source->host.empty() && !is_address(source->host)) std::abort();
    if (source && source->host.empty() && source->port != 0) std::abort();
    if (!source && source.error().status != Status::bad_request) std::abort();
}

struct Pair {
    boost::asio::io_context io{1};
    tcp::socket proxy{io}, server{io};
    Pair() {
        tcp::acceptor acceptor(io, {boost::asio::ip::address_v4::loopback(), 0});
        proxy.connect(acceptor.local_endpoint());
        acceptor.accept(server);
        proxy.set_option(boost::asio::socket_base::linger(true, 0));  // leaves no TIME_WAIT behind
    }
};

/// What is read of a connection that brings these bytes and ends; `left`: what then is still to be read.
Read read_from_connection(std::string_view bytes, std::size_t& left) {
    Pair pair;
    // As much as the longest header and what is behind it: it fits the socket's buffer.
    pair.proxy.write_some(boost::asio::buffer(bytes));
    pair.proxy.shutdown(tcp::socket::shutdown_send);
    std::optional<Read> out;
    boost::asio::co_spawn(pair.io, rest::read_proxy_header(pair.server),
                          [&out](std::exception_ptr thrown, Read read) {
                              if (thrown) std::abort();
                              out = std::move(read);
                          });
    pair.io.run();
    if (!out) std::abort();
    std::array<char, 4096> behind{};
    boost::system::error_code error;
    for (left = 0; !error;) left += pair.server.read_some(boost::asio::buffer(behind), error);
    return *std::move(out);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), std::min<std::size_t>(size, 4096));
    const auto line = rest::parse_proxy_line(text), binary = rest::parse_proxy_binary(text);
    check(line);
    check(binary);
    if (line && binary) std::abort();
    if (text.empty()) return 0;
    std::size_t left = 0;
    const auto read = read_from_connection(text, left);
    if (!read) return 0;
    // A header is taken off whole, and nothing of what follows it; without one, nothing at all.
    const auto taken = text.substr(0, text.size() - left);
    if (!*read) return taken.empty() ? 0 : (std::abort(), 0);
    const auto again =
        taken.starts_with('P') ? rest::parse_proxy_line(taken) : rest::parse_proxy_binary(taken);
    if (!again || again->host != (*read)->host || again->port != (*read)->port) std::abort();
    return 0;
}
