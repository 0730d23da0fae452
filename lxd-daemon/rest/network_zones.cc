#include <nlohmann/json.hpp>

#include "lxd-daemon/api/network_zone.h"
#include "lxd-daemon/instances/network_rules.h"
#include "lxd-daemon/instances/networks.h"
#include "lxd-daemon/rest/lifecycle.h"
#include "lxd-daemon/rest/listing.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/urls.h"

// Wire: endpoints.tsv, "network-zones" (all sync).
namespace lxmgr::rest {
namespace {

std::string url_of_zone(const std::string& name) { return url_of({"network-zones", name}); }
std::string url_of_zone_record(const std::string& zone, const std::string& name) {
    return url_of({"network-zones", zone, "records", name});
}

instances::NetworkZones& zones_of(Services& services) { return services.networks->rules().zones(); }

Result<api::NetworkZone> require_zone(const Request& request, Services& services) {
    LX_TRY(check_project(request));
    return zones_of(services).zone(request.path_arg("zone"));
}
Result<api::ZoneRecord> require_zone_record(const Request& request, Services& services) {
    LX_TRY(check_project(request));
    return zones_of(services).record(request.path_arg("zone"), request.path_arg("name"));
}

Handled zones_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    auto out = nlohmann::json::array();
    for (const auto& zone : zones_of(services).zones()) out.push_back(api::to_json(zone));
    co_return list_response(request, std::move(out),
                            [](const nlohmann::json& object) { return url_of_zone(object.at("name")); });
}

Handled zone_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto zone, require_zone(request, services));
    co_return Response::sync(api::to_json(zone)).with_etag(etag_of(api::etag_fields(zone)));
}

Handled zones_post(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto zone, api::parse_network_zone(body));
    auto create = [&services, zone] { return zones_of(services).create(zone); };
    auto pending = on_worker(services, std::move(create));
    LX_CO_TRY(co_await std::move(pending));
    publish_lifecycle(services, request.requestor_json, "network-zone-created", url_of_zone(zone.name));
    co_return Response::created(url_of_zone(zone.name));
}

/// PUT replaces, PATCH changes what it gives.
Handled zone_change(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto zone, require_zone(request, services));
    LX_CO_TRY(check_etag(request, etag_of(api::etag_fields(zone))));
    LX_CO_TRY_AS(const auto body, request.json());
    auto parsed =
        request.verb == Verb::put ? api::parse_network_zone(body) : api::patch_network_zone(body, zone);
    LX_CO_TRY_AS(auto next, std::move(parsed));
    next.name = zone.name;
    auto change = [&services, next] { return zones_of(services).replace(next); };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    publish_lifecycle(services, request.requestor_json, "network-zone-updated", url_of_zone(zone.name));
    co_return Response::empty();
}

Handled zone_delete(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto zone, require_zone(request, services));
    auto remove = [&services, name = zone.name] { return zones_of(services).remove(name); };
    auto pending = on_worker(services, std::move(remove));
    LX_CO_TRY(co_await std::move(pending));
    publish_lifecycle(services, request.requestor_json, "network-zone-deleted", url_of_zone(zone.name));
    co_return Response::empty();
}

Handled zone_records_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto zone, require_zone(request, services));
    LX_CO_TRY_AS(const auto records, zones_of(services).records(zone.name));
    auto out = nlohmann::json::array();
    for (const auto& record : records) out.push_back(api::to_json(record));
    co_return list_response(request, std::move(out), [&zone](const nlohmann::json& object) {
        return url_of_zone_record(zone.name, object.at("name"));
    });
}

Handled zone_records_post(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto zone, require_zone(request, services));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto record, api::parse_zone_record(body));
    auto create = [&services, name = zone.name, record] {
        return zones_of(services).create_record(name, record);
    };
    auto pending = on_worker(services, std::move(create));
    LX_CO_TRY(co_await std::move(pending));
    const std::string url = url_of_zone_record(zone.name, record.name);
    publish_lifecycle(services, request.requestor_json, "network-zone-record-created", url);
    co_return Response::created(url);
}

Handled zone_record_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_zone_record(request, services));
    co_return Response::sync(api::to_json(record)).with_etag(etag_of(api::to_json(record)));
}

Handled zone_record_change(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_zone_record(request, services));
    LX_CO_TRY(check_etag(request, etag_of(api::to_json(record))));
    LX_CO_TRY_AS(const auto body, request.json());
    auto parsed =
        request.verb == Verb::put ? api::parse_zone_record(body) : api::patch_zone_record(body, record);
    LX_CO_TRY_AS(auto next, std::move(parsed));
    next.name = record.name;
    const std::string zone = request.path_arg("zone");
    auto change = [&services, zone, next] { return zones_of(services).replace_record(zone, next); };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    publish_lifecycle(services, request.requestor_json, "network-zone-record-updated",
                      url_of_zone_record(zone, record.name));
    co_return Response::empty();
}

Handled zone_record_delete(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_zone_record(request, services));
    const std::string zone = request.path_arg("zone");
    auto remove = [&services, zone, name = record.name] {
        return zones_of(services).remove_record(zone, name);
    };
    auto pending = on_worker(services, std::move(remove));
    LX_CO_TRY(co_await std::move(pending));
    publish_lifecycle(services, request.requestor_json, "network-zone-record-deleted",
                      url_of_zone_record(zone, record.name));
    co_return Response::empty();
}

constexpr Route kZoneRoutes[] = {
    {Verb::get, "/1.0/network-zones", Access::can_view, zones_get},
    {Verb::post, "/1.0/network-zones", Access::admin, zones_post},
    {Verb::get, "/1.0/network-zones/{zone}", Access::can_view, zone_get},
    {Verb::put, "/1.0/network-zones/{zone}", Access::admin, zone_change},
    {Verb::patch, "/1.0/network-zones/{zone}", Access::admin, zone_change},
    {Verb::del, "/1.0/network-zones/{zone}", Access::admin, zone_delete},
    {Verb::get, "/1.0/network-zones/{zone}/records", Access::can_view, zone_records_get},
    {Verb::post, "/1.0/network-zones/{zone}/records", Access::admin, zone_records_post},
    {Verb::get, "/1.0/network-zones/{zone}/records/{name}", Access::can_view, zone_record_get},
    {Verb::put, "/1.0/network-zones/{zone}/records/{name}", Access::admin, zone_record_change},
    {Verb::patch, "/1.0/network-zones/{zone}/records/{name}", Access::admin, zone_record_change},
    {Verb::del, "/1.0/network-zones/{zone}/records/{name}", Access::admin, zone_record_delete},
};

}  // namespace

std::span<const Route> network_zone_routes() { return kZoneRoutes; }

}  // namespace lxmgr::rest
