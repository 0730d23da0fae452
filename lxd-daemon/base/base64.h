#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace lxmgr {

/// RFC 4648, section 4, with padding.
std::string to_base64(std::string_view bytes);
/// The bytes; line breaks are passed over. nullopt for anything else that is not of the alphabet, and for a
/// length that no encoder makes.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace lxmgr
