#pragma once
#include <string>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::cli {

/// Where a daemon is reached: by its unix socket, or over HTTPS.
struct Server {
    // Not explicit: for most of this program a server is the path of its socket.
    Server(std::string path) : socket_path(std::move(path)) {}  // NOLINT(google-explicit-constructor)
    Server() = default;

    std::string socket_path;  ///< empty: over HTTPS
    std::string host;
    std::string port = "8443";
    std::string fingerprint;               ///< of the certificate that the server must show
    std::string certificate_pem, key_pem;  ///< the client's own; empty: none
    std::string project;                   ///< that requests are for; empty: "default"
    std::string remote;                    ///< by which name the user knows it
};

/// A connected stream socket. Over HTTPS it is one end of a socket pair, and a thread carries the bytes.
/// Errors: `unavailable`, `forbidden`, in words for the user.
Result<UniqueFd> connect_to(const Server& server);

/// The certificate that the server shows, in PEM; nothing is sent to it. Errors: `unavailable`.
Result<std::string> fetch_certificate(const Server& server);

}  // namespace lxmgr::cli
