#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lxd-daemon/base/result.h"

/// The PROXY protocol, versions 1 and 2 (https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt): by
/// which a proxy that passes connections on says for whom.
namespace lxmgr::rest {

struct ProxySource {
    std::string host;  ///< IP address; empty: the proxy speaks for itself, or does not know
    std::uint16_t port = 0;
};

/// A whole line of version 1, with its end. Errors: `bad_request`.
Result<ProxySource> parse_proxy_line(std::string_view line);
/// A whole header of version 2. Errors: `bad_request`.
Result<ProxySource> parse_proxy_binary(std::string_view header);

/// Takes the header off the connection, if it begins with one: TLS begins otherwise.
/// @return nullopt: there is none. Errors: `bad_request`; `unavailable` when the connection ends.
boost::asio::awaitable<Result<std::optional<ProxySource>>> read_proxy_header(
    boost::asio::ip::tcp::socket& socket);

}  // namespace lxmgr::rest
