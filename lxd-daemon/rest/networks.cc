#include "lxd-daemon/instances/networks.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "lxd-daemon/api/common.h"
#include "lxd-daemon/api/network.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/instances/project_restrictions.h"
#include "lxd-daemon/rest/lifecycle.h"
#include "lxd-daemon/rest/listing.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/projects.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/urls.h"
#include "network/bridge.h"
#include "network/bridge_state.h"
#include "network/doctor.h"
#include "network/parent_network.h"

// Wire: client-wire-notes, "networks" (all sync). The host's interfaces are listed too, as managed=false.
namespace lxmgr::rest {
namespace {

std::string url_of_network(const std::string& name) { return url_of({"networks", name}); }

api::Network network_view(const database::NetworkRecord& record, const instances::Networks& networks) {
    return {record.name, record.description, record.type, record.config, networks.used_by(record.name), true};
}

/// LXD's words for the interfaces of the host.
std::string type_of(const network::InterfaceState& interface) {
    if (interface.type == "loopback") return "loopback";
    for (const char* kind : {"bridge", "bond", "vlan", "macvlan"}) {
        if (interface.kind == kind) return kind;
    }
    return interface.kind.empty() ? "physical" : "unknown";
}

api::Network network_view(const network::InterfaceState& interface, const instances::Networks& networks) {
    return {interface.name, "", type_of(interface), {}, networks.used_by(interface.name), false};
}

// Host ends of instances' NICs are many and of no use as networks; LXD hides them too.
bool is_listed(const network::InterfaceState& interface) { return interface.kind != "veth"; }

Result<nlohmann::json> all_networks(Services& services) {
    auto out = nlohmann::json::array();
    const auto managed = services.database->networks().list();
    for (const auto& record : managed) out.push_back(api::to_json(network_view(*record, *services.networks)));
    LX_TRY_AS(const auto interfaces, network::interface_states());
    for (const auto& interface : interfaces) {
        const bool known =
            std::ranges::any_of(managed, [&](const auto& row) { return row->name == interface.name; });
        if (!known && is_listed(interface))
            out.push_back(api::to_json(network_view(interface, *services.networks)));
    }
    return out;
}

/// Managed, or an interface of the host.
Result<api::Network> find_network(Services& services, const std::string& name) {
    if (const auto record = services.database->networks().find(name))
        return network_view(*record, *services.networks);
    const auto interface = network::interface_state(name);
    if (!interface) return fail(Status::not_found, "Network not found");
    return network_view(*interface, *services.networks);
}

/// restricted.networks.access of the project asked for; interfaces of the host are for those who may have
/// NICs on them.
bool is_network_shown(const Request& request, const Services& services, const std::string& name) {
    const auto project = services.database->projects().find(request.project);
    if (!project) return true;
    if (!instances::may_use_network(*project, name)) return false;
    return services.database->networks().find(name) || !instances::is_restricted(*project) ||
           instances::restriction(*project, "restricted.devices.nic") == "allow";
}

/// LXD too shows it to administrators only: it may hold passwords, and what concerns other projects.
void hide_network_config(const Request& request, nlohmann::json& object) {
    if (!request.identity.is_admin()) object["config"] = nlohmann::json::object();
}

Result<> check_network_access(const Request& request, const Services& services) {
    if (is_network_shown(request, services, request.path_arg("name"))) return {};
    return fail(Status::not_found, "Network not found");
}

Result<database::NetworkPtr> require_managed(const Request& request, const Services& services) {
    LX_TRY(check_project(request));
    LX_TRY(check_network_access(request, services));
    auto found = services.database->networks().find(request.path_arg("name"));
    if (!found) return fail(Status::not_found, "Network not found");
    return found;
}

Handled networks_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    auto read = [&services] { return all_networks(services); };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(auto objects, co_await std::move(pending));
    for (auto at = objects.begin(); at != objects.end();) {
        const bool shown = is_network_shown(request, services, at->at("name"));
        if (shown) hide_users(request, *at);
        if (shown) hide_network_config(request, *at);
        if (shown && request.query_or("all-projects", "false") == "true") (*at)["project"] = "default";
        at = shown ? at + 1 : objects.erase(at);
    }
    co_return list_response(request, std::move(objects),
                            [](const nlohmann::json& object) { return url_of_network(object.at("name")); });
}

/// limits.networks of the one project that has networks.
Result<> check_network_limit(const Services& services) {
    const auto project = services.database->projects().find("default");
    const auto limit = project ? parse_int(api::value_of(project->config, "limits.networks")) : std::nullopt;
    if (!limit || std::ssize(services.database->networks().list()) < *limit) return {};
    return fail(Status::bad_request, fmt::format("Reached maximum number of networks: {}", *limit));
}

Handled network_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY(check_network_access(request, services));
    auto read = [&services, name = request.path_arg("name")] { return find_network(services, name); };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(const auto found, co_await std::move(pending));
    auto shown = api::to_json(found);
    hide_users(request, shown);
    hide_network_config(request, shown);
    co_return Response::sync(shown).with_etag(etag_of(api::etag_fields(found)));
}

Handled networks_post(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto post, api::parse_networks_post(body));
    const std::string type = post.type.empty() ? "bridge" : post.type;
    if (type != "bridge" && !network::is_on_parent(type)) {
        co_return fail(
            Status::bad_request,
            fmt::format("Network type '{}' is not supported: only bridge, macvlan and physical", type));
    }
    LX_CO_TRY(check_network_limit(services));
    auto create = [&services, post, type] {
        return services.networks->create({0, post.name, post.fields.description, type, post.fields.config});
    };
    auto pending = on_worker(services, std::move(create));
    LX_CO_TRY(co_await std::move(pending));
    const std::string url = url_of_network(post.name);
    publish_lifecycle(services, request.requestor_json, "network-created", url);
    co_return Response::created(url);
}

Result<> replace_network(Services& services, const database::NetworkRecord& record,
                         const api::NetworkPut& fields, const std::string& requestor) {
    database::NetworkRecord next = record;
    next.description = fields.description;
    next.config = fields.config;
    LX_TRY(services.networks->update(next));
    publish_lifecycle(services, requestor, "network-updated", url_of_network(record.name));
    return {};
}

Result<> check_network_etag(const Request& request, const database::NetworkRecord& record) {
    const api::Network shown{record.name, record.description, record.type, record.config, {}, true};
    return check_etag(request, etag_of(api::etag_fields(shown)));
}

Handled network_put(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_managed(request, services));
    LX_CO_TRY(check_network_etag(request, *record));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto fields, api::parse_network_put(body));
    auto change = [&services, record, fields, requestor = request.requestor_json] {
        return replace_network(services, *record, fields, requestor);
    };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::empty();
}

Handled network_patch(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_managed(request, services));
    LX_CO_TRY(check_network_etag(request, *record));
    LX_CO_TRY_AS(const auto body, request.json());
    api::NetworkPut current{record->description, record->config};
    LX_CO_TRY_AS(const auto fields, api::patch_network(body, std::move(current)));
    auto change = [&services, record, fields, requestor = request.requestor_json] {
        return replace_network(services, *record, fields, requestor);
    };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::empty();
}

Handled network_post(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_managed(request, services));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto new_name, api::parse_rename(body));
    auto rename = [&services, record, new_name] { return services.networks->rename(record->name, new_name); };
    auto pending = on_worker(services, std::move(rename));
    LX_CO_TRY(co_await std::move(pending));
    const std::string url = url_of_network(new_name);
    publish_lifecycle(services, request.requestor_json, "network-renamed", url, {{"old_name", record->name}});
    co_return Response::created(url);
}

Handled network_delete(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_managed(request, services));
    auto remove = [&services, record] { return services.networks->remove(record->name); };
    auto pending = on_worker(services, std::move(remove));
    LX_CO_TRY(co_await std::move(pending));
    publish_lifecycle(services, request.requestor_json, "network-deleted", url_of_network(record->name));
    co_return Response::empty();
}

api::NetworkState state_of(const network::InterfaceState& interface) {
    api::NetworkState out;
    for (const auto& address : interface.addresses) {
        out.addresses.push_back({address.family, address.address, address.netmask, address.scope});
    }
    const auto number = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };
    out.counters.bytes_received = number(interface.counters.bytes_received);
    out.counters.bytes_sent = number(interface.counters.bytes_sent);
    out.counters.packets_received = number(interface.counters.packets_received);
    out.counters.packets_sent = number(interface.counters.packets_sent);
    out.hwaddr = interface.hwaddr;
    out.state = interface.state;
    out.type = interface.type;
    out.mtu = interface.mtu;
    const auto bridge = interface.kind == "bridge" ? network::bridge_state(interface.name) : std::nullopt;
    if (bridge)
        out.bridge = {
            bridge->id,   bridge->stp, bridge->forward_delay, bridge->default_vlan, bridge->vlan_filtering,
            bridge->ports};
    return out;
}

/// Of the interface of that name, which for some networks is their parent.
Result<api::NetworkState> read_state(const Services& services, const std::string& name) {
    const auto record = services.database->networks().find(name);
    if (!record || !network::is_on_parent(record->type)) {
        if (const auto interface = network::interface_state(name)) return state_of(*interface);
        return fail(Status::not_found, "Network not found");
    }
    const std::string parent = api::value_of(record->config, "parent");
    if (const auto interface = network::interface_state(parent)) return state_of(*interface);
    return fail(
        Status::not_found,
        fmt::format("The parent '{}' of network '{}' is not on this host now: it may have been lent to an "
                    "instance, or unplugged",
                    parent, name));
}

Handled network_state(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY(check_network_access(request, services));
    auto read = [&services, name = request.path_arg("name")] { return read_state(services, name); };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(const auto state, co_await std::move(pending));
    co_return Response::sync(api::to_json(state));
}

/// The instance whose NIC has the lease; without a project: none has. What a lease calls itself is its
/// guest's to say.
api::ProjectName owner_of(const Services& services, const std::string& network, const network::Lease& lease) {
    for (const auto& held : services.database->networks().addresses(network)) {
        if (lease.type != "gateway" && to_lower(held.hwaddr) == lease.hwaddr)
            return api::split_instance_key(held.instance);
    }
    return {"", lease.hostname};
}

Handled network_leases(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_managed(request, services));
    auto read = [&services, record] { return services.networks->leases(record->name); };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(const auto leases, co_await std::move(pending));
    auto out = nlohmann::json::array();
    for (const auto& lease : leases) {
        const auto named = owner_of(services, record->name, lease);
        // Those of nobody here may be another project's guests'.
        const bool is_open = lease.type == "gateway" || request.identity.is_admin();
        if (named.project != request.project && !(named.project.empty() && is_open)) continue;
        out.push_back(api::to_json(api::NetworkLease{named.name, lease.hwaddr, lease.address, lease.type}));
    }
    co_return Response::sync(out);
}

/// Ours alone: `lxmgr network doctor`.
Handled network_doctor(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_managed(request, services));
    auto look = [record] {
        return network::is_on_parent(record->type) ? network::examine_parent(record->config)
                                                   : network::examine(record->name, record->config);
    };
    auto pending = on_worker(services, std::move(look));
    LX_CO_TRY_AS(const auto findings, co_await std::move(pending));
    auto out = nlohmann::json::array();
    for (const auto& finding : findings)
        out.push_back({{"check", finding.check}, {"good", finding.good}, {"message", finding.message}});
    co_return Response::sync(out);
}

constexpr Route kNetworksRoutes[] = {
    {Verb::get, "/1.0/networks", Access::can_view, networks_get},
    {Verb::post, "/1.0/networks", Access::admin, networks_post},
    {Verb::get, "/1.0/networks/{name}", Access::can_view, network_get},
    {Verb::put, "/1.0/networks/{name}", Access::admin, network_put},
    {Verb::patch, "/1.0/networks/{name}", Access::admin, network_patch},
    {Verb::post, "/1.0/networks/{name}", Access::admin, network_post},
    {Verb::del, "/1.0/networks/{name}", Access::admin, network_delete},
    {Verb::get, "/1.0/networks/{name}/state", Access::can_view, network_state},
    {Verb::get, "/1.0/networks/{name}/doctor", Access::admin, network_doctor},
    {Verb::get, "/1.0/networks/{name}/leases", Access::can_view, network_leases},
};

}  // namespace

std::span<const Route> network_routes() { return kNetworksRoutes; }

}  // namespace lxmgr::rest
