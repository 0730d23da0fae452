#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/result.h"

namespace lxmgr::rest {

/// The target of a request line (RFC 9112, section 3.2), split first and percent-decoded after: "%2F" stays
/// in its part.
struct Target {
    std::vector<std::string> segments;  ///< "/1.0/instances" gives {"1.0", "instances"}; "/" gives none
    std::map<std::string, std::string> query;  ///< the first of several wins
};

/// Takes origin-form and absolute-form. Errors: `bad_request` for bad escapes, control characters and empty
/// segments (one slash at the end is tolerated).
Result<Target> parse_target(std::string_view text);

/// "%41" -> "A"; in queries '+' is a space. Errors: `bad_request`.
Result<std::string> percent_decode(std::string_view text, bool plus_is_space);

}  // namespace lxmgr::rest
