#include "lxd-daemon/rest/urls.h"

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::rest {

std::string url_of(std::initializer_list<std::string_view> parts) {
    std::string out = "/1.0";
    for (const std::string_view part : parts) out += '/' + url_encode(part);
    return api::public_url(out);
}

}  // namespace lxmgr::rest
