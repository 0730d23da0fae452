#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <string>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/rest/https/tls_stream.h"

/// Connections to other servers.
namespace lxmgr::rest {

/// An https URL taken apart.
struct ServerUrl {
    std::string host;  ///< without brackets
    std::string port;
    std::string path;  ///< without its query
};
/// Errors: `bad_request`.
Result<ServerUrl> parse_server_url(const std::string& url);

/// Where who asks for it may lead the daemon.
enum class Reach {
    anywhere,
    elsewhere,  ///< not to loopback and link-local addresses: services of this machine trust those
};

/// Blocking: a TCP connection to the first of the host's addresses that takes one, in 20 seconds. Errors:
/// `bad_request`, `forbidden`.
Result<UniqueFd> dial_tcp(const ServerUrl& url, Reach reach);

/// TLS over it.
/// @param tcp          does not block
/// @param certificate  the server has this one (PEM); empty: one for the host, of an authority that is
/// trusted. Errors: `bad_request`.
boost::asio::awaitable<Result<TlsStream>> dial_tls(boost::asio::io_context& io, UniqueFd tcp, ServerUrl url,
                                                   std::string certificate);

}  // namespace lxmgr::rest
