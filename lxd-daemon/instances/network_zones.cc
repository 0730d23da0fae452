#include "lxd-daemon/instances/network_zones.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "lxd-daemon/api/json_reader.h"
#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/networks.h"
#include "network/bridge_config.h"
#include "network/tunnels.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

namespace dns = network::dns;

constexpr const char* kZone = "zone";
constexpr const char* kZoneRecord = "record";
constexpr const char* kForwardKey = "dns.zone.forward";
constexpr const char* kReverseKeys[] = {"dns.zone.reverse.ipv4", "dns.zone.reverse.ipv6"};
constexpr std::uint32_t kDefaultTtl = 300;

std::unexpected<Error> no_zone() { return fail(Status::not_found, "Network zone not found"); }
std::unexpected<Error> no_zone_record() { return fail(Status::not_found, "Network zone record not found"); }

std::vector<std::string> zone_names(const std::string& list) {
    std::vector<std::string> out;
    for (const auto& part : split(list, ',')) {
        if (!trim(part).empty()) out.emplace_back(trim(part));
    }
    return out;
}

bool names_zone(const api::ConfigMap& config, const char* key, const std::string& zone) {
    const auto names = zone_names(api::value_of(config, key));
    return std::ranges::find(names, zone) != names.end();
}

bool uses_zone(const api::ConfigMap& config, const std::string& zone) {
    return names_zone(config, kForwardKey, zone) || names_zone(config, kReverseKeys[0], zone) ||
           names_zone(config, kReverseKeys[1], zone);
}

Result<> check_zone_key(const std::string& key, const std::string& value) {
    if (key.starts_with("user.") && key.size() > 5) return {};
    if (key == "dns.nameservers") {
        for (const auto& name : zone_names(value)) LX_TRY(dns::check_name(name));
        return {};
    }
    if (key == "dns.contact") return dns::check_name(value);
    if (key == "network.nat") {
        if (value == "true" || value == "false") return {};
        return fail(Status::bad_request, fmt::format("Network zone key '{}' must be true or false", key));
    }
    if (key.starts_with("peers.") && key.ends_with(".address") && key.size() > 14) {
        if (network::parse_address(value)) return {};
        return fail(Status::bad_request, fmt::format("Network zone key '{}' must be an IP address", key));
    }
    if (key.starts_with("peers.") && key.ends_with(".key"))
        return fail(
            Status::bad_request,
            fmt::format("Network zone key '{}' is not supported by this server: peers are known by their "
                        "addresses",
                        key));
    return fail(Status::bad_request, fmt::format("Network zone key '{}' is unknown", key));
}

Result<> check_zone(const api::NetworkZone& zone) {
    LX_TRY(dns::check_name(zone.name));
    if (zone.name != to_lower(zone.name))
        return fail(Status::bad_request,
                    fmt::format("Network zone name '{}' must be in lower case", zone.name));
    for (const auto& [key, value] : zone.config) LX_TRY(check_zone_key(key, value));
    return {};
}

Result<std::vector<dns::Record>> zone_entries_of(const std::string& zone, const api::ZoneRecord& record) {
    std::vector<dns::Record> out;
    for (const auto& entry : record.entries) {
        LX_TRY_AS(auto one, dns::parse_entry(record.name, zone, entry.type, entry.value,
                                             entry.ttl == 0 ? kDefaultTtl : entry.ttl));
        out.push_back(std::move(one));
    }
    return out;
}

Result<> check_zone_record(const std::string& zone, const api::ZoneRecord& record) {
    if (record.name != "@") LX_TRY(dns::check_name(record.name));
    LX_TRY(zone_entries_of(zone, record));
    std::set<std::pair<std::string, std::string>> seen;
    for (const auto& entry : record.entries) {
        if (!seen.emplace(entry.type, entry.value).second)
            return fail(Status::bad_request, fmt::format("Entry '{} {}' of '{}' is there twice", entry.type,
                                                         entry.value, record.name));
    }
    for (const auto& [key, value] : record.config) {
        if (!key.starts_with("user.") || key.size() == 5)
            return fail(Status::bad_request, fmt::format("Network zone record key '{}' is unknown", key));
    }
    return {};
}

Result<api::NetworkZone> read_zone(const database::NetworkObjectRecord& row) {
    LX_TRY_AS(const auto json, api::parse_json(row.content));
    LX_TRY_AS(auto zone, api::parse_network_zone(json));
    zone.name = row.name;
    return zone;
}
Result<api::ZoneRecord> read_zone_record(const database::NetworkObjectRecord& row) {
    LX_TRY_AS(const auto json, api::parse_json(row.content));
    LX_TRY_AS(auto record, api::parse_zone_record(json));
    record.name = row.name;
    return record;
}

/// "5.0.91.10.in-addr.arpa", or the nibbles of IPv6.
std::string reverse_name(const std::string& address) {
    if (const auto v4 = network::parse_ipv4(address)) {
        return fmt::format("{}.{}.{}.{}.in-addr.arpa", *v4 & 0xff, *v4 >> 8 & 0xff, *v4 >> 16 & 0xff,
                           *v4 >> 24);
    }
    std::string out;
    const auto v6 = network::parse_ipv6(address).value_or(network::Ipv6{});
    for (std::size_t i = v6.size(); i-- > 0;) out += fmt::format("{:x}.{:x}.", v6[i] & 0xf, v6[i] >> 4);
    return out + "ip6.arpa";
}

/// Names and addresses of a network: of its instances and of the bridge.
struct NamedAddress {
    std::string name, address;
    bool ipv6 = false;
};

std::vector<NamedAddress> named_addresses(const std::string& network, const network::BridgeConfig& config,
                                          const std::vector<database::AddressRecord>& claims) {
    std::vector<NamedAddress> out;
    if (config.ipv4.address)
        out.push_back({network + ".gw", network::format_ipv4(config.ipv4.address->address), false});
    if (config.ipv6.address)
        out.push_back({network + ".gw", network::format_ipv6(config.ipv6.address->address), true});
    for (const auto& claim : claims) {
        const std::string name = network_name_of(claim.instance);
        if (!claim.ipv4.empty()) out.push_back({name, claim.ipv4, false});
        if (!claim.ipv6.empty()) out.push_back({name, claim.ipv6, true});
        const auto mac = network::parse_mac(to_lower(claim.hwaddr));
        if (config.ipv6.address && !config.ipv6_stateful && mac)
            out.push_back({name, network::format_ipv6(network::eui64(*config.ipv6.address, *mac)), true});
    }
    return out;
}

bool is_peer(const api::NetworkZone& zone, const std::string& address) {
    return std::ranges::any_of(zone.config, [&](const auto& pair) {
        const auto& [key, value] = pair;
        return key.starts_with("peers.") && key.ends_with(".address") &&
               network::parse_address(value) == network::parse_address(address);
    });
}

}  // namespace

database::NetworkObjectPtr NetworkZones::row(const std::string& zone) const {
    return database_.network_objects().find(kZone, 0, zone);
}

std::vector<api::NetworkZone> NetworkZones::zones() const {
    std::vector<api::NetworkZone> out;
    for (const auto& one : database_.network_objects().list_all(kZone)) {
        if (auto found = zone(one->name)) out.push_back(*std::move(found));
    }
    return out;
}

Result<api::NetworkZone> NetworkZones::zone(const std::string& name) const {
    const auto found = row(name);
    if (!found) return no_zone();
    LX_TRY_AS(auto out, read_zone(*found));
    for (const auto& network : database_.networks().list()) {
        if (uses_zone(network->config, name)) out.used_by.push_back("/1.0/networks/" + network->name);
    }
    return out;
}

Result<> NetworkZones::create(const api::NetworkZone& zone) {
    LX_TRY(check_zone(zone));
    if (row(zone.name))
        return fail(Status::bad_request, fmt::format("The network zone '{}' already exists", zone.name));
    LX_TRY(
        database_.network_objects().create({0, kZone, 0, 0, zone.name, api::writable_fields(zone).dump()}));
    return {};
}

Result<> NetworkZones::replace(const api::NetworkZone& zone) {
    LX_TRY(check_zone(zone));
    const auto found = row(zone.name);
    if (!found) return no_zone();
    database::NetworkObjectRecord next = *found;
    next.content = api::writable_fields(zone).dump();
    LX_TRY(database_.network_objects().update(next));
    return {};
}

Result<> NetworkZones::remove(const std::string& name) {
    LX_TRY_AS(const auto held, zone(name));
    if (!held.used_by.empty()) return fail(Status::bad_request, "Cannot delete a zone that is in use");
    return database_.network_objects().remove(*row(name));
}

Result<std::vector<api::ZoneRecord>> NetworkZones::records(const std::string& zone) const {
    const auto found = row(zone);
    if (!found) return no_zone();
    std::vector<api::ZoneRecord> out;
    for (const auto& one : database_.network_objects().list(kZoneRecord, found->id)) {
        if (auto read = read_zone_record(*one)) out.push_back(*std::move(read));
    }
    return out;
}

Result<api::ZoneRecord> NetworkZones::record(const std::string& zone, const std::string& name) const {
    const auto found = row(zone);
    if (!found) return no_zone();
    const auto one = database_.network_objects().find(kZoneRecord, found->id, name);
    if (!one) return no_zone_record();
    return read_zone_record(*one);
}

Result<> NetworkZones::create_record(const std::string& zone, const api::ZoneRecord& record) {
    LX_TRY(check_zone_record(zone, record));
    const auto found = row(zone);
    if (!found) return no_zone();
    if (database_.network_objects().find(kZoneRecord, found->id, record.name))
        return fail(Status::conflict, fmt::format("The record '{}' already exists", record.name));
    LX_TRY(database_.network_objects().create(
        {0, kZoneRecord, 0, found->id, record.name, api::writable_fields(record).dump()}));
    return {};
}

Result<> NetworkZones::replace_record(const std::string& zone, const api::ZoneRecord& record) {
    LX_TRY(check_zone_record(zone, record));
    const auto found = row(zone);
    const auto one = found ? database_.network_objects().find(kZoneRecord, found->id, record.name) : nullptr;
    if (!one) return no_zone_record();
    database::NetworkObjectRecord next = *one;
    next.content = api::writable_fields(record).dump();
    LX_TRY(database_.network_objects().update(next));
    return {};
}

Result<> NetworkZones::remove_record(const std::string& zone, const std::string& name) {
    const auto found = row(zone);
    const auto one = found ? database_.network_objects().find(kZoneRecord, found->id, name) : nullptr;
    if (!one) return no_zone_record();
    return database_.network_objects().remove(*one);
}

Result<> NetworkZones::check_network(const database::NetworkRecord& network) const {
    for (const char* key : {kForwardKey, kReverseKeys[0], kReverseKeys[1]}) {
        for (const auto& name : zone_names(api::value_of(network.config, key))) {
            if (row(name)) continue;
            return fail(Status::bad_request, fmt::format("Network '{}': there is no network zone '{}' ({})",
                                                         network.name, name, key));
        }
    }
    return {};
}

void NetworkZones::add_network(const api::NetworkZone& zone, const database::NetworkRecord& network,
                               std::vector<dns::Record>& out) const {
    const auto config = network::parse_bridge_config(network.name, network.config);
    if (!config) return;
    const bool with_nat = api::value_of(zone.config, "network.nat", "true") == "true";
    const bool forward = names_zone(network.config, kForwardKey, zone.name);
    const auto forwards = zone_names(api::value_of(network.config, kForwardKey));
    const std::string domain = forwards.empty() ? config->domain : forwards.front();
    for (const auto& one :
         named_addresses(network.name, *config, database_.networks().addresses(network.name))) {
        if (!with_nat && (one.ipv6 ? config->ipv6.nat : config->ipv4.nat)) continue;
        if (forward)
            out.push_back(dns::address_record(fmt::format("{}.{}", one.name, zone.name), one.address));
        const std::string reverse = reverse_name(one.address);
        if (names_zone(network.config, kReverseKeys[one.ipv6 ? 1 : 0], zone.name) &&
            reverse.ends_with("." + zone.name))
            out.push_back(dns::name_record(reverse, dns::Type::ptr, fmt::format("{}.{}", one.name, domain)));
    }
}

Result<std::vector<dns::Record>> NetworkZones::transfer(const std::string& name,
                                                        const std::string& peer) const {
    LX_TRY_AS(const auto held, zone(name));
    if (!is_peer(held, peer))
        return fail(Status::forbidden, fmt::format("{} is no peer of zone '{}'", peer, name));
    auto servers = zone_names(api::value_of(held.config, "dns.nameservers"));
    const std::string contact = api::value_of(held.config, "dns.contact", "hostmaster." + name);
    const std::string first = servers.empty() ? "ns." + name : servers.front();
    const auto serial = std::chrono::duration_cast<std::chrono::seconds>(now().time_since_epoch()).count();
    std::vector<dns::Record> out{dns::soa_record({name, first, contact, static_cast<std::uint32_t>(serial)})};
    for (const auto& server : servers) out.push_back(dns::name_record(name, dns::Type::ns, server));
    for (const auto& network : database_.networks().list()) add_network(held, *network, out);
    LX_TRY_AS(const auto own, records(name));
    for (const auto& record : own) {
        if (auto entries = zone_entries_of(name, record))
            out.insert(out.end(), entries->begin(), entries->end());
    }
    return out;
}

}  // namespace lxmgr::instances
