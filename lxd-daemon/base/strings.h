#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr {

/// Splits at every separator; n separators give n+1 parts, "" gives one empty part.
std::vector<std::string> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);
std::string to_lower(std::string_view text);
/// Whole text as a decimal number, no sign for unsigned, no blanks; nullopt otherwise or when out of range.
std::optional<std::int64_t> parse_int(std::string_view text);
std::optional<std::uint64_t> parse_uint(std::string_view text);
/// True when the text holds a byte below 0x20 or 0x7f.
bool has_control_chars(std::string_view text);
/// RFC 1123 host label: 1..63 of [A-Za-z0-9-], starting with a letter, not ending with '-': LXD's rule for
/// instance names.
bool is_dns_label(std::string_view text);
/// Valid UTF-8, no overlong forms or surrogates (RFC 3629).
bool is_utf8(std::string_view text);
/// One part of a URL's path: all but the unreserved characters percent-encoded (RFC 3986).
std::string url_encode(std::string_view part);
/// Lower-case hexadecimal of raw bytes.
std::string to_hex(std::string_view bytes);
/// `bytes` random bytes of getrandom(2) as 2*bytes lower-case hex digits.
std::string random_hex(std::size_t bytes);
/// A random (version 4) UUID in its 36-character form, RFC 4122.
std::string random_uuid();

}  // namespace lxmgr
