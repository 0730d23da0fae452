#include "network/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "network/bridge.h"
#include "network/bridge_config.h"
#include "network/dns_probe.h"
#include "network/nft_table.h"
#include "network/nftables.h"
#include "network/rule_walk.h"

namespace lxmgr::network {
namespace {

using Json = nlohmann::json;
using Findings = std::vector<Finding>;

constexpr std::chrono::milliseconds kDnsPatience{2000};

void look_at_interface(Findings& out, const std::string& bridge, const BridgeConfig& config) {
    const auto state = interface_state(bridge);
    if (!state) {
        out.push_back({"interface", false, fmt::format("Interface '{}' does not exist", bridge)});
        return;
    }
    const auto has = [&state](const std::string& address) {
        return std::ranges::any_of(state->addresses,
                                   [&](const Address& one) { return one.address == address; });
    };
    std::string missing;
    if (config.ipv4.address && !has(format_ipv4(config.ipv4.address->address)))
        missing = format(*config.ipv4.address);
    if (config.ipv6.address && !has(format_ipv6(config.ipv6.address->address)))
        missing = format(*config.ipv6.address);
    if (!missing.empty()) {
        out.push_back(
            {"interface", false, fmt::format("Interface '{}' lacks its address {}", bridge, missing)});
    } else {
        out.push_back({"interface", true, fmt::format("Interface '{}' has its addresses", bridge)});
    }
}

void look_at_forwarding(Findings& out, bool wanted, const char* family, const std::string& setting) {
    if (!wanted) return;
    const auto held = read_file("/proc/sys/" + setting, 64);
    const bool on = held && trim(*held) != "0";
    std::string dotted = setting;
    std::ranges::replace(dotted, '/', '.');
    out.push_back({"forwarding", on,
                   on ? fmt::format("{} is forwarded", family)
                      : fmt::format("{} is not forwarded: something has set {} to 0", family, dotted)});
}

void look_at_server(Findings& out, const BridgeConfig& config) {
    std::optional<AnyAddress> address;
    if (config.ipv6.address) address = config.ipv6.address->address;
    if (config.ipv4.address) address = config.ipv4.address->address;
    if (!address) return;
    const bool answers = dns_answers(*address, kDnsPatience);
    out.push_back(
        {"dnsmasq", answers,
         answers ? "dnsmasq answers" : "dnsmasq does not answer: it is replaced when an instance starts"});
}

Json list_ruleset() {
    const Json list{{"list", {{"ruleset", nullptr}}}};
    const auto output = run_nftables(Json{{"nftables", Json::array({list})}}.dump());
    Json answer = output ? Json::parse(*output, nullptr, false) : Json();
    if (!answer.is_object() || !answer.contains("nftables")) return Json::array();
    return answer["nftables"];
}

void look_at_own_rules(Findings& out, const Json& ruleset, const std::string& bridge) {
    const bool there = std::ranges::any_of(ruleset, [&](const Json& entry) {
        const auto chain = entry.find("chain");
        return chain != entry.end() && chain->value("table", "") == kTable &&
               chain->value("name", "") == "fwd." + bridge;
    });
    out.push_back(
        {"rules", there, there ? "The network's rules are in force" : "The network's rules are gone"});
}

struct Way {
    const char* what;
    ThoughtPacket packet;
};

/// What must pass, in the words for those who read of it.
std::vector<Way> ways_of(const std::string& bridge, const BridgeConfig& config) {
    std::vector<Way> out;
    const auto add = [&](bool ipv6, bool dhcp, bool routing) {
        if (dhcp)
            out.push_back({ipv6 ? "DHCPv6 requests of instances" : "DHCP requests of instances",
                           {"input", bridge, "", "udp", ipv6 ? 547 : 67, ipv6}});
        out.push_back({"DNS requests of instances", {"input", bridge, "", "udp", 53, ipv6}});
        if (!routing) return;
        out.push_back({ipv6 ? "IPv6 of instances to elsewhere" : "IPv4 of instances to elsewhere",
                       {"forward", bridge, "elsewhere", "tcp", 0, ipv6}});
    };
    if (config.ipv4.address) add(false, config.ipv4.dhcp, config.ipv4.routing);
    if (config.ipv6.address) add(true, config.ipv6.dhcp, config.ipv6.routing);
    return out;
}

void look_at_foreign_rules(Findings& out, const Json& ruleset, const std::string& bridge,
                           const BridgeConfig& config) {
    bool all_pass = true;
    for (const Way& way : ways_of(bridge, config)) {
        const auto dropper = find_dropper(ruleset, way.packet);
        if (!dropper) continue;
        all_pass = false;
        out.push_back(
            {"foreign rules", false,
             fmt::format("{}: dropped by {}, which is not lxmgr's; let what comes from '{}' pass there",
                         way.what, *dropper, bridge)});
    }
    if (all_pass) out.push_back({"foreign rules", true, "No rule of another program is in the way"});
    const auto legacy = read_file("/proc/thread-self/net/ip_tables_names", 4096);
    if (legacy && trim(*legacy).contains("filter")) {
        out.push_back(
            {"foreign rules", true,
             "There are rules of iptables-legacy too, which are not looked at: see iptables-legacy -S"});
    }
}

}  // namespace

Result<std::vector<Finding>> examine(const std::string& bridge, const api::ConfigMap& map) {
    LX_TRY_AS(const BridgeConfig config, parse_bridge_config(bridge, map));
    Findings out;
    look_at_interface(out, bridge, config);
    if (auto free = check_subnets_free(bridge, map); !free)
        out.push_back({"subnet", false, free.error().message});
    look_at_forwarding(out, config.ipv4.address && config.ipv4.routing, "IPv4", "net/ipv4/ip_forward");
    look_at_forwarding(out, config.ipv6.address && config.ipv6.routing, "IPv6",
                       "net/ipv6/conf/all/forwarding");
    look_at_server(out, config);
    const Json ruleset = list_ruleset();
    look_at_own_rules(out, ruleset, bridge);
    look_at_foreign_rules(out, ruleset, bridge, config);
    return out;
}

}  // namespace lxmgr::network
