#pragma once
#include <sys/socket.h>

#include <string>
#include <string_view>

#include "lxd-daemon/base/result.h"

/// Where requests may go.
namespace lxmgr::images {

/// Loopback, link-local or unspecified: of this machine or of its neighbours, metadata services of clouds
/// among them.
bool is_local_address(const sockaddr* address);

/// A literal of such an address in any form that connect(2)'s callers take, or a name of loopback.
bool is_local_name(const std::string& host);

struct UrlParts {
    std::string scheme;  ///< lower case
    std::string host;    ///< lower case, without port, user and brackets
};
/// Errors: `bad_request` for what is no http or https URL, and for control characters.
Result<UrlParts> parse_url(std::string_view url);

/// True when one of the names (with commas or blanks between) is the host, a domain of it, or "*".
bool is_ignored_host(std::string_view names, std::string_view host);

/// libcurl's form of a certificate's public key: "sha256//BASE64". Errors: `bad_request`.
Result<std::string> public_key_pin(const std::string& certificate_pem);

}  // namespace lxmgr::images
