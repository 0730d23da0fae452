#include "images/servers/server.h"

#include <fmt/format.h>

#include "images/servers/lxd_server.h"
#include "images/servers/url_server.h"
#include "images/streams/server.h"

namespace lxmgr::images {

Result<std::unique_ptr<ImageServer>> open_image_server(ServerAddress address, std::stop_token stop) {
    if (address.protocol == "simplestreams") {
        LX_TRY_AS(StreamServer server, StreamServer::open(address.url, address.access, std::move(stop)));
        return std::make_unique<StreamServer>(std::move(server));
    }
    if (address.protocol == "lxd" || address.protocol == "incus")
        return LxdServer::open(std::move(address), std::move(stop));
    if (address.protocol == "direct") return UrlServer::open(std::move(address), std::move(stop));
    return fail(Status::bad_request,
                fmt::format("Image servers of protocol '{}' are not known: there are simplestreams and lxd",
                            address.protocol));
}

}  // namespace lxmgr::images
