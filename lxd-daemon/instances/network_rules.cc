#include "lxd-daemon/instances/network_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "lxd-daemon/api/json_reader.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/networks.h"
#include "network/bridge_config.h"
#include "network/tunnels.h"

namespace lxmgr::instances {
namespace {

constexpr const char* kAcl = "acl";
constexpr const char* kForward = "forward";

/// What was stored was checked before: a failure is a damaged database.
Result<> refuse_twice(const std::vector<api::NetworkAclRule>& rules, std::string_view direction) {
    for (auto rule = rules.begin(); rule != rules.end(); ++rule) {
        if (std::find(rules.begin(), rule, *rule) != rule)
            return fail(Status::bad_request,
                        fmt::format("{} rule {} is there twice", direction, rule - rules.begin() + 1));
    }
    return {};
}

/// What was stored before is only parsed.
Result<> check_acl(const api::NetworkAcl& acl) {
    LX_TRY(refuse_twice(acl.ingress, "Ingress"));
    LX_TRY(refuse_twice(acl.egress, "Egress"));
    LX_TRY(network::parse_acl(acl));
    return {};
}

Result<api::NetworkAcl> read_acl(const database::NetworkObjectRecord& record) {
    LX_TRY_AS(const auto json, api::parse_json(record.content));
    LX_TRY_AS(auto acl, api::parse_network_acl(json));
    acl.name = record.name;
    return acl;
}
Result<api::NetworkForward> read_forward(const database::NetworkObjectRecord& record) {
    LX_TRY_AS(const auto json, api::parse_json(record.content));
    LX_TRY_AS(auto forward, api::parse_network_forward(json));
    forward.listen_address = record.name;
    return forward;
}

bool names(const api::ConfigMap& config, const std::string& acl) {
    const auto found = config.find("security.acls");
    if (found == config.end()) return false;
    return std::ranges::any_of(split(found->second, ','),
                               [&acl](const std::string& name) { return trim(name) == acl; });
}

/// One way to write each address.
std::string canonical(const std::string& address) {
    const auto parsed = network::parse_address(address);
    if (!parsed) return address;
    if (const auto* v4 = std::get_if<std::uint32_t>(&*parsed)) return network::format_ipv4(*v4);
    return network::format_ipv6(std::get<network::Ipv6>(*parsed));
}

/// The first port of the translation that the forward has.
std::optional<int> forwarded_port(const network::Forward& forward, const network::ProxyNat& nat) {
    const std::string listen =
        forward.ipv6 ? network::format_ipv6(forward.listen_ipv6) : network::format_ipv4(forward.listen_ipv4);
    const bool same_address = std::ranges::any_of(nat.sides, [&](const network::ProxyNat::Side& side) {
        return side.ipv6 == forward.ipv6 && (side.listen.empty() || side.listen == listen);
    });
    if (!same_address) return std::nullopt;
    const bool all = forward.target_ipv4 || forward.target_ipv6;
    const auto has = [&](int port) {
        return std::ranges::any_of(forward.ports, [&](const network::ForwardPorts& one) {
            return one.udp == (nat.protocol == "udp") &&
                   std::ranges::any_of(one.ports, [&](const auto& pair) {
                       return pair.first.first <= port && port <= pair.first.last;
                   });
        });
    };
    for (const auto& [port, to] : nat.ports) {
        if (all || has(port)) return port;
    }
    return std::nullopt;
}

/// Those of the subnet that stand for all of it.
bool is_of_all(const network::BridgeConfig& config, const network::AnyAddress& address) {
    const auto* v4 = std::get_if<std::uint32_t>(&address);
    const auto& net = config.ipv4.address;
    return v4 != nullptr && net && net->contains(*v4) && (*v4 == net->network() || *v4 == net->broadcast());
}

std::unexpected<Error> no_acl() { return fail(Status::not_found, "Network ACL not found"); }
std::unexpected<Error> no_forward() { return fail(Status::not_found, "Network forward not found"); }

}  // namespace

Result<network::FirewallPolicy> NetworkRules::policy_of(const database::NetworkRecord& network) const {
    LX_TRY_AS(const auto config, network::parse_bridge_config(network.name, network.config));
    LX_TRY(zones_.check_network(network));
    network::FirewallPolicy out;
    out.ingress = config.acl_ingress;
    out.egress = config.acl_egress;
    for (const auto& name : config.acls) {
        const auto record = database_.network_objects().find(kAcl, 0, name);
        if (!record) {
            return fail(Status::bad_request,
                        fmt::format("Network '{}': there is no network ACL '{}'", network.name, name));
        }
        LX_TRY_AS(const auto acl, read_acl(*record));
        LX_TRY_AS(auto parsed, network::parse_acl(acl));
        out.acls.push_back(std::move(parsed));
    }
    if (network.id == 0) return out;
    for (const auto& record : database_.network_objects().list(kForward, network.id)) {
        LX_TRY_AS(const auto forward, read_forward(*record));
        auto parsed = network::parse_forward(forward, config);
        if (!parsed) {
            return std::unexpected(in(fmt::format("Network '{}', forward of {}", network.name, record->name),
                                      std::move(parsed).error()));
        }
        out.forwards.push_back(*std::move(parsed));
    }
    return out;
}

Result<> NetworkRules::check_unforwarded(const network::ProxyNat& nat) const {
    for (const auto& record : database_.networks().list()) {
        if (database_.network_objects().list(kForward, record->id).empty()) continue;
        const auto policy = policy_of(*record);
        if (!policy) continue;  // then nothing of it is in force
        for (const auto& forward : policy->forwards) {
            const auto port = forwarded_port(forward, nat);
            if (!port) continue;
            return fail(Status::conflict, fmt::format("Port {} ({}) is forwarded already, by network '{}'",
                                                      *port, nat.protocol, record->name));
        }
    }
    return {};
}

std::vector<std::string> NetworkRules::networks_with(const std::string& acl) const {
    std::vector<std::string> out;
    for (const auto& network : database_.networks().list()) {
        if (names(network->config, acl)) out.push_back(network->name);
    }
    return out;
}

std::vector<api::NetworkAcl> NetworkRules::acls() const {
    std::vector<api::NetworkAcl> out;
    for (const auto& record : database_.network_objects().list_all(kAcl)) {
        if (auto found = acl(record->name)) out.push_back(*std::move(found));
    }
    return out;
}

Result<api::NetworkAcl> NetworkRules::acl(const std::string& name) const {
    const auto record = database_.network_objects().find(kAcl, 0, name);
    if (!record) return no_acl();
    LX_TRY_AS(auto out, read_acl(*record));
    for (const auto& network : networks_with(name)) out.used_by.push_back("/1.0/networks/" + network);
    return out;
}

Result<> NetworkRules::create_acl(const api::NetworkAcl& acl) {
    LX_TRY(check_acl(acl));
    if (database_.network_objects().find(kAcl, 0, acl.name))
        return fail(Status::bad_request, fmt::format("The network ACL '{}' already exists", acl.name));
    LX_TRY(database_.network_objects().create({0, kAcl, 0, 0, acl.name, api::writable_fields(acl).dump()}));
    return {};
}

Result<> NetworkRules::replace_acl(const api::NetworkAcl& acl) {
    LX_TRY(check_acl(acl));
    const auto before = database_.network_objects().find(kAcl, 0, acl.name);
    if (!before) return no_acl();
    const auto write = [&](const std::string& content) -> Result<> {
        database::NetworkObjectRecord next = *before;
        next.content = content;
        LX_TRY(database_.network_objects().update(next));
        return {};
    };
    return networks_.change_rules(
        networks_with(acl.name), [&] { return write(api::writable_fields(acl).dump()); },
        [&] { return write(before->content); });
}

Result<> NetworkRules::rename_acl(const std::string& name, const std::string& new_name) {
    LX_TRY(network::check_acl_name(new_name));
    const auto record = database_.network_objects().find(kAcl, 0, name);
    if (!record) return no_acl();
    if (!networks_with(name).empty()) return fail(Status::bad_request, "Cannot rename an ACL that is in use");
    if (database_.network_objects().find(kAcl, 0, new_name))
        return fail(Status::conflict, fmt::format("The network ACL '{}' already exists", new_name));
    LX_TRY(database_.network_objects().rename(*record, new_name));
    return {};
}

Result<> NetworkRules::remove_acl(const std::string& name) {
    const auto write = [&]() -> Result<> {
        const auto record = database_.network_objects().find(kAcl, 0, name);
        if (!record) return no_acl();
        if (!networks_with(name).empty())
            return fail(Status::bad_request, "Cannot delete an ACL that is in use");
        return database_.network_objects().remove(*record);
    };
    return networks_.change_rules({}, write, [] { return Result<>{}; });
}

std::vector<api::NetworkForward> NetworkRules::forwards(const database::NetworkRecord& network) const {
    std::vector<api::NetworkForward> out;
    for (const auto& record : database_.network_objects().list(kForward, network.id)) {
        if (auto found = read_forward(*record)) out.push_back(*std::move(found));
    }
    return out;
}

Result<api::NetworkForward> NetworkRules::forward(const database::NetworkRecord& network,
                                                  const std::string& address) const {
    const auto record = database_.network_objects().find(kForward, network.id, canonical(address));
    if (!record) return no_forward();
    return read_forward(*record);
}

/// Addresses of instances are not for forwards, nor are those of other forwards.
Result<> NetworkRules::check_listen_address(const database::NetworkRecord& network,
                                            const std::string& address) const {
    const auto parsed = network::parse_address(address);
    if (!parsed) return {};  // said by parse_forward()
    for (const auto& other : database_.networks().list()) {
        if (other->id != network.id && database_.network_objects().find(kForward, other->id, address)) {
            return fail(Status::conflict,
                        fmt::format("Network '{}' has a forward of {} already", other->name, address));
        }
        const auto config = network::parse_bridge_config(other->name, other->config);
        if (!config) continue;
        const auto* v4 = std::get_if<std::uint32_t>(&*parsed);
        const auto* v6 = std::get_if<network::Ipv6>(&*parsed);
        const bool own = other->id == network.id;
        const bool taken =
            own ? is_of_all(*config, *parsed)
                : (v4 != nullptr && config->ipv4.address && config->ipv4.address->contains(*v4) &&
                   *v4 != config->ipv4.address->address) ||
                      (v6 != nullptr && config->ipv6.address && config->ipv6.address->contains(*v6) &&
                       *v6 != config->ipv6.address->address);
        if (own) LX_TRY(check_unheld_address(network.name, address));
        if (taken) {
            return fail(Status::bad_request,
                        fmt::format("listen_address {} is one of network '{}', for its instances", address,
                                    other->name));
        }
    }
    return {};
}

Result<> NetworkRules::check_unheld_address(const std::string& network, const std::string& address) const {
    for (const auto& held : database_.networks().addresses(network)) {
        if (canonical(held.ipv4) != address && canonical(held.ipv6) != address) continue;
        return fail(Status::bad_request,
                    fmt::format("listen_address {} is held by a NIC of instance '{}' on network '{}': choose "
                                "another one",
                                address, held.instance, network));
    }
    return {};
}

std::vector<std::string> NetworkRules::listen_addresses(std::int64_t network_id) const {
    std::vector<std::string> out;
    for (const auto& record : database_.network_objects().list(kForward, network_id))
        out.push_back(record->name);
    return out;
}

Result<> NetworkRules::create_forward(const database::NetworkRecord& network,
                                      const api::NetworkForward& forward) {
    LX_TRY_AS(const auto config, network::parse_bridge_config(network.name, network.config));
    LX_TRY(network::parse_forward(forward, config));
    const std::string address = canonical(forward.listen_address);
    database::NetworkObjectPtr row;
    const auto write = [&]() -> Result<> {
        LX_TRY(check_listen_address(network, address));
        if (database_.network_objects().find(kForward, network.id, address))
            return fail(Status::conflict, fmt::format("A forward for that listen address already exists"));
        LX_TRY_AS(row, database_.network_objects().create(
                           {0, kForward, network.id, 0, address, api::writable_fields(forward).dump()}));
        return {};
    };
    return networks_.change_rules({network.name}, write,
                                  [&] { return database_.network_objects().remove(*row); });
}

Result<> NetworkRules::replace_forward(const database::NetworkRecord& network,
                                       const api::NetworkForward& forward) {
    LX_TRY_AS(const auto config, network::parse_bridge_config(network.name, network.config));
    LX_TRY(network::parse_forward(forward, config));
    const auto before =
        database_.network_objects().find(kForward, network.id, canonical(forward.listen_address));
    if (!before) return no_forward();
    const auto write = [&](const std::string& content) -> Result<> {
        database::NetworkObjectRecord next = *before;
        next.content = content;
        LX_TRY(database_.network_objects().update(next));
        return {};
    };
    return networks_.change_rules(
        {network.name}, [&] { return write(api::writable_fields(forward).dump()); },
        [&] { return write(before->content); });
}

Result<> NetworkRules::remove_forward(const database::NetworkRecord& network, const std::string& address) {
    const auto before = database_.network_objects().find(kForward, network.id, canonical(address));
    if (!before) return no_forward();
    return networks_.change_rules(
        {network.name}, [&] { return database_.network_objects().remove(*before); },
        [&]() -> Result<> {
            LX_TRY(database_.network_objects().create(*before));
            return {};
        });
}

}  // namespace lxmgr::instances
