#pragma once
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/router.h"

namespace lxmgr::rest {

/// The one place that decides: whether a caller gets what a route needs. What is not allowed here is denied.
bool may(Access access, const auth::Identity& who, const std::string& project);

/// A request for a route as Router::find() found it. Errors: `forbidden`; for the trusted also `not_found`
/// and `not_implemented` when nothing is there, which others are not told.
Result<> authorise(const Request& request, const Router::Match& match, bool metrics_are_open);

/// Browsers send what other sites made them send, with the user's certificate: whatever says that it comes
/// from a page of another site is refused. Errors: `forbidden`.
Result<> refuse_other_sites(const Request& request);

}  // namespace lxmgr::rest
