#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/rest/router.h"
#include "lxd-daemon/rest/server.h"

namespace lxmgr::rest {

class Websocket;

/// Serves what instances ask about themselves through /dev/lxd/sock. One small server for each, so that none
/// can use up what others need. I/O thread only.
class GuestApi {
public:
    explicit GuestApi(Services& services);
    ~GuestApi();
    GuestApi(GuestApi&&) = delete;

    void listen(const std::string& instance, UniqueFd listening_socket);
    /// Ends every connection of the instance.
    void close(const std::string& instance);
    void close_all();
    /// A websocket that close() is to end too.
    void remember(const std::string& instance, const std::shared_ptr<Websocket>& socket);

private:
    struct Guest {
        std::unique_ptr<Server> server;
        std::vector<std::weak_ptr<Websocket>> websockets;
    };
    Services& services_;
    Router router_;
    std::map<std::string, Guest> guests_;
};

/// LXD's documentation: dev-lxd.
std::span<const Route> guest_routes();

}  // namespace lxmgr::rest
