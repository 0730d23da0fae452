#pragma once
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/result.h"
#include "lxd-daemon/base/strings.h"
#include "network/bridge_config.h"

/// Private to the room: values of config keys of a bridge, read into a BridgeConfig. Each refuses what it
/// does not understand as `bad_request` that names key, value and what is allowed.
namespace lxmgr::network {

struct Field {
    std::string_view key;
    std::string_view value;
};
std::unexpected<Error> bad_value(const Field& field, std::string_view allowed);
/// Parts between commas, without the blanks around them.
std::vector<std::string> split_list(std::string_view text);
bool is_domain(std::string_view text);

Result<> set_bool(bool& to, const Field& field);
Result<> set_expiry(std::string& to, const Field& field);
Result<> set_ipv4_address(BridgeConfig& config, const Field& field);
Result<> set_ipv6_address(BridgeConfig& config, const Field& field);
Result<> set_search(std::vector<std::string>& to, const Field& field);
Result<> set_domain(std::string& to, const Field& field);
Result<> set_dns_mode(DnsMode& to, const Field& field);
Result<> set_hwaddr(Mac& to, const Field& field);
Result<> set_mtu(BridgeConfig& config, const Field& field);
Result<> set_gateway(BridgeConfig& config, const Field& field);
Result<> set_interfaces(BridgeConfig& config, const Field& field);
Result<> set_nameservers(BridgeConfig& config, const Field& field);
Result<> set_dhcp_routes(BridgeConfig& config, const Field& field);
/// Names of DNS zones; nothing of the bridge depends on them.
Result<> check_zones(const Field& field);
Result<> set_acls(std::vector<std::string>& to, const Field& field);
Result<> set_action(AclRule::Action& to, const Field& field);
/// before or after.
Result<> set_nat_order(bool& after, const Field& field);

template <typename Range, typename Parse>
Result<> set_ranges(std::vector<Range>& to, const Field& field, Parse parse, std::string_view example) {
    for (const auto& item : split_list(field.value)) {
        const auto ends = split(item, '-');
        if (ends.size() != 2) return bad_value(field, example);
        const auto first = parse(trim(ends[0]));
        const auto last = parse(trim(ends[1]));
        if (!first || !last || *last < *first) return bad_value(field, example);
        to.push_back({*first, *last});
    }
    return {};
}

/// An address, or a net, or a list of nets: whatever `parse` reads.
template <typename Value, typename Parse>
Result<> set_parsed(std::optional<Value>& to, const Field& field, Parse parse, std::string_view example) {
    to = parse(field.value);
    return to ? Result<>{} : bad_value(field, example);
}
template <typename Net, typename Parse>
Result<> set_nets(std::vector<Net>& to, const Field& field, Parse parse, std::string_view example) {
    for (const auto& item : split_list(field.value)) {
        const auto net = parse(item);
        if (!net) return bad_value(field, example);
        to.push_back(*net);
    }
    return {};
}

}  // namespace lxmgr::network
