#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "lxd-daemon/api/json_reader.h"
#include "network/acl_rules.h"
#include "network/bridge_config.h"
#include "network/dns_message.h"
#include "network/lease_file.h"
#include "network/raw_dnsmasq.h"

/// What users write about networks, and what dnsmasq writes about guests: any bytes end in a value or an
/// error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace lxmgr;
    using namespace lxmgr::network;
    const std::string text(reinterpret_cast<const char*>(data), size);
    (void)parse_ports(text);
    (void)parse_address_ranges(text);
    (void)parse_raw_dnsmasq(text);
    (void)parse_leases(text, 0);
    if (const auto question = dns::parse_question(text)) (void)dns::answer(*question, dns::Code::ok, {});
    for (const char* type : {"A", "AAAA", "MX", "SRV", "TXT", "CNAME"})
        (void)dns::parse_entry("www", "example", type, text, 60);
    for (const char* key :
         {"ipv4.dhcp.ranges", "ipv6.routes", "dns.search", "raw.dnsmasq", "ipv4.dhcp.routes"})
        (void)parse_bridge_config("br0", {{key, text}});
    const auto json = api::parse_json(text);
    if (!json || !json->is_object()) return 0;
    static const BridgeConfig kBridge =
        *parse_bridge_config("br0", {{"ipv4.address", "10.0.0.1/24"}, {"ipv6.address", "fd00::1/64"}});
    FirewallPolicy policy;
    if (auto acl = api::parse_network_acl(*json)) {
        acl->name = "fuzz";
        if (auto parsed = parse_acl(*acl)) policy.acls.push_back(*std::move(parsed));
    }
    if (const auto forward = api::parse_network_forward(*json)) {
        if (auto parsed = parse_forward(*forward, kBridge)) policy.forwards.push_back(*std::move(parsed));
    }
    (void)firewall_rules("br0", kBridge, policy);
    return 0;
}
