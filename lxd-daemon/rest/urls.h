#pragma once
#include <initializer_list>
#include <string>
#include <string_view>

namespace lxmgr::rest {

/// "/1.0/a/b" with each part percent-encoded (RFC 3986, unreserved characters stay), so that it can be
/// requested as it is even when a name holds a slash. Keys (api/project_keys.h) become names, and ?project=.
std::string url_of(std::initializer_list<std::string_view> parts);

}  // namespace lxmgr::rest
