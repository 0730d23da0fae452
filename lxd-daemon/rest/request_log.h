#pragma once
#include <string_view>

#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/rest/route.h"

namespace lxmgr::rest {

/// Tells those who listen to events of type `logging` of a request that is let in, as LXD words it. Without a
/// listener it costs nothing.
/// @param target  as it was sent; secrets in it are left out
void tell_of_request(events::Hub& hub, const Request& request, std::string_view method,
                     std::string_view target);

}  // namespace lxmgr::rest
