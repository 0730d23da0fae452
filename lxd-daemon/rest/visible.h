#pragma once
#include <string>

#include "lxd-daemon/operations/operation.h"
#include "lxd-daemon/rest/route.h"

/// What a caller sees of the objects that an endpoint open to more than one project's users shows.
namespace lxmgr::rest {

/// Of a project's objects.
inline bool sees(const Request& request, const std::string& project) {
    return request.identity.who == auth::Who::guest || request.identity.may_use(project);
}
/// Of images of the project that is asked for: everybody sees the public ones.
inline bool sees_image(const Request& request, bool is_public) {
    return is_public || sees(request, request.project);
}
/// Operations without a project are the server's own: a token's secret is in them.
inline bool sees(const Request& request, const operations::Operation& operation) {
    return request.identity.is_admin() ||
           (!operation.project().empty() && sees(request, operation.project()));
}

}  // namespace lxmgr::rest
