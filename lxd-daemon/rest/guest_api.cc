#include "lxd-daemon/rest/guest_api.h"

#include "lxd-daemon/rest/websocket.h"

namespace lxmgr::rest {
namespace {

/// What all processes of one instance together may cost.
constexpr Limits kLimits{.max_connections = 16,
                         .max_upgraded = 4,
                         .header_time = std::chrono::seconds(3),
                         .idle_time = std::chrono::seconds(30),
                         .stall_time = std::chrono::seconds(10),
                         .max_head_bytes = 8192,
                         .max_json_bytes = 4096,
                         .requests_per_second = 100};

Router make_router() {
    const std::span<const Route> tables[] = {guest_routes()};
    return Router(tables);
}

}  // namespace

GuestApi::GuestApi(Services& services) : services_(services), router_(make_router()) {}
GuestApi::~GuestApi() = default;

void GuestApi::listen(const std::string& instance, UniqueFd listening_socket) {
    close(instance);
    auto& guest = guests_[instance];
    guest.server = std::make_unique<Server>(services_, router_, kLimits, instance);
    guest.server->listen(std::move(listening_socket));
}

void GuestApi::close(const std::string& instance) {
    const auto found = guests_.find(instance);
    if (found == guests_.end()) return;
    for (const auto& one : found->second.websockets) {
        if (const auto socket = one.lock()) socket->abort();
    }
    guests_.erase(found);
}

void GuestApi::close_all() {
    while (!guests_.empty()) close(std::string(guests_.begin()->first));
}

void GuestApi::remember(const std::string& instance, const std::shared_ptr<Websocket>& socket) {
    const auto found = guests_.find(instance);
    if (found == guests_.end()) return socket->abort();
    auto& sockets = found->second.websockets;
    std::erase_if(sockets, [](const auto& one) { return one.expired(); });
    sockets.push_back(socket);
}

}  // namespace lxmgr::rest
