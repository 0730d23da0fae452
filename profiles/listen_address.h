#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::profiles {

constexpr std::uint16_t kDefaultPort = 8443;

/// core.https_address and its like.
struct ListenAddress {
    std::string host;  ///< an IP address; "::" is all addresses of both families
    std::uint16_t port = kDefaultPort;
    bool operator==(const ListenAddress&) const = default;
};
/// "ADDRESS", "ADDRESS:PORT", "[IPV6]:PORT", ":PORT", "*:PORT". Errors: `bad_request`.
Result<ListenAddress> parse_listen_address(std::string_view text);
/// "192.0.2.1:8443", "[2001:db8::1]:8443".
std::string host_and_port(std::string_view host, std::uint16_t port);

/// core.remote_token_expiry: as snapshots.expiry, or seconds: "30S". Errors: `bad_request`.
Result<Time> token_expiry_after(std::string_view text, Time from);

}  // namespace lxmgr::profiles
