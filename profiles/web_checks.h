#pragma once
#include <string_view>

#include "lxd-daemon/base/result.h"

/// Checks of what is shown to browsers.
namespace lxmgr::profiles::check {

/// Origins (https://www.rfc-editor.org/rfc/rfc6454) with commas between, or "*".
Result<> web_origins(std::string_view key, std::string_view value);
/// As web_origins(), but one.
Result<> web_origin(std::string_view key, std::string_view value);
/// IP addresses with commas between.
Result<> ip_addresses(std::string_view key, std::string_view value);
/// Names of headers or methods with commas between.
Result<> http_words(std::string_view key, std::string_view value);

}  // namespace lxmgr::profiles::check
