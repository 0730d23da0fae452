#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/event_stream.h"
#include "lxd-daemon/rest/guest_api.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/upgrade.h"

// What an instance may ask: LXD's documentation, dev-lxd. Answers are bare, without an envelope; who asks is
// Request::guest, which the socket tells.
namespace lxmgr::rest {
namespace {

constexpr EventBacklog kBacklog{.max_frames = 256, .max_bytes = std::size_t{1} << 20};

Response bare(const nlohmann::json& value) {
    auto text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    return Response::raw(std::move(text), "application/json");
}

Response text(std::string value) { return Response::raw(std::move(value), "text/plain; charset=utf-8"); }

std::string host_name() {
    std::array<char, 256> buffer{};
    ::gethostname(buffer.data(), buffer.size() - 1);
    return buffer.data();
}

Handled guest_versions_get(const Request&, Services&) { co_return bare({"/1.0"}); }

Handled guest_state_get(const Request& request, Services& services) {
    const bool ready = services.instances->is_guest_ready(request.guest);
    const nlohmann::json state{{"api_version", "1.0"},
                               {"location", host_name()},
                               {"instance_type", "container"},
                               {"state", ready ? "Ready" : "Started"}};
    co_return bare(state);
}

Handled state_patch(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto body, request.json());
    const auto wanted = body.find("state");
    const std::string state =
        wanted != body.end() && wanted->is_string() ? wanted->get<std::string>() : std::string();
    if (body.size() != 1 || (state != "Ready" && state != "Started"))
        co_return fail(Status::bad_request, R"(The body must be {"state": "Ready"} or {"state": "Started"})");
    auto change = [&services, name = request.guest, ready = state == "Ready"] {
        return services.instances->set_guest_ready(name, ready);
    };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    co_return text("");
}

Handled config_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto config, services.instances->guest_config(request.guest));
    nlohmann::json urls = nlohmann::json::array();
    for (const auto& [key, value] : config) urls.push_back("/1.0/config/" + key);
    co_return bare(urls);
}

Handled config_key_get(const Request& request, Services& services) {
    const std::string& key = request.path_arg("key");
    if (!key.starts_with("user.") && !key.starts_with("cloud-init."))
        co_return fail(Status::forbidden, "not authorized");
    LX_CO_TRY_AS(const auto config, services.instances->guest_config(request.guest));
    const auto found = config.find(key);
    if (found == config.end()) co_return fail(Status::not_found, "not found");
    co_return text(found->second);
}

Handled devices_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto devices, services.instances->guest_devices(request.guest));
    co_return bare(devices);
}

Handled meta_data_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(auto data, services.instances->guest_meta_data(request.guest));
    co_return text(std::move(data));
}

Result<unsigned> parse_guest_kinds(const std::string& types) {
    unsigned kinds = 0;
    for (const auto& name : split(types, ',')) {
        if (name != "config" && name != "device")
            return fail(Status::bad_request, "'" + name + "' is not an event type: use config or device");
        kinds |=
            static_cast<unsigned>(name == "config" ? events::Kind::guest_config : events::Kind::guest_device);
    }
    return kinds;
}

Handled guest_events_get(const Request& request, Services& services) {
    const std::string types = request.query_or("type", "");
    LX_CO_TRY_AS(const unsigned kinds, parse_guest_kinds(types.empty() ? "config,device" : types));
    if (request.upgrade == nullptr) co_return fail(Status::bad_request, "Only websockets are served here");
    auto stream = std::make_shared<EventStream>(services.io, kBacklog);
    stream->subscribe(services.hub, kinds, EventScope{{request.guest}, false});
    auto accepting = request.upgrade->accept_websocket();
    auto socket = co_await std::move(accepting);
    if (!socket) {
        stream->unsubscribe();
        co_return std::unexpected(std::move(socket).error());
    }
    services.guests->remember(request.guest, *socket);
    stream->start(std::move(*socket));
    co_return Response::upgrade_done();
}

/// Served only with security.devlxd.images, which this server does not know.
Handled image_export_get(const Request&, Services&) { co_return fail(Status::forbidden, "not authorized"); }

constexpr Route kGuestRoutes[] = {
    {Verb::get, "/", Access::anyone, guest_versions_get},
    {Verb::get, "/1.0", Access::anyone, guest_state_get},
    {Verb::patch, "/1.0", Access::anyone, state_patch},
    {Verb::get, "/1.0/config", Access::anyone, config_get},
    {Verb::get, "/1.0/config/{key}", Access::anyone, config_key_get},
    {Verb::get, "/1.0/devices", Access::anyone, devices_get},
    {Verb::get, "/1.0/events", Access::anyone, guest_events_get},
    {Verb::get, "/1.0/images/{fingerprint}/export", Access::anyone, image_export_get},
    {Verb::get, "/1.0/meta-data", Access::anyone, meta_data_get},
};

}  // namespace

std::span<const Route> guest_routes() { return kGuestRoutes; }

}  // namespace lxmgr::rest
