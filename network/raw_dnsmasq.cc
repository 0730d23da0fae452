#include "network/raw_dnsmasq.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::network {
namespace {

constexpr std::size_t kMaxConfigBytes = 16384;

/// dnsmasq(8), 2.90.
constexpr std::array<std::string_view, 58> kAllowed{
    "address",
    "alias",
    "all-servers",
    "bogus-nxdomain",
    "bogus-priv",
    "caa-record",
    "cache-size",
    "cname",
    "dhcp-boot",
    "dhcp-broadcast",
    "dhcp-circuitid",
    "dhcp-host",
    "dhcp-ignore",
    "dhcp-ignore-names",
    "dhcp-mac",
    "dhcp-match",
    "dhcp-name-match",
    "dhcp-option",
    "dhcp-option-force",
    "dhcp-range",
    "dhcp-remoteid",
    "dhcp-reply-delay",
    "dhcp-sequential-ip",
    "dhcp-subscrid",
    "dhcp-ttl",
    "dhcp-userclass",
    "dhcp-vendorclass",
    "dns-forward-max",
    "dns-rr",
    "domain",
    "domain-suffix",
    "expand-hosts",
    "filter-A",
    "filter-AAAA",
    "filterwin2k",
    "host-record",
    "local",
    "local-ttl",
    "localise-queries",
    "log-dhcp",
    "log-queries",
    "max-cache-ttl",
    "max-ttl",
    "min-cache-ttl",
    "mx-host",
    "naptr-record",
    "neg-ttl",
    "no-negcache",
    "no-resolv",
    "ptr-record",
    "ra-param",
    "rebind-domain-ok",
    "rev-server",
    "server",
    "srv-host",
    "stop-dns-rebind",
    "tag-if",
    "txt-record",
};

}  // namespace

Result<std::vector<std::string>> parse_raw_dnsmasq(std::string_view text) {
    if (text.size() > kMaxConfigBytes)
        return fail(Status::bad_request, "Network key 'raw.dnsmasq': more than 16384 bytes");
    std::vector<std::string> out;
    for (const auto& raw : split(text, '\n')) {
        const std::string_view line = trim(raw);
        if (line.empty() || line.front() == '#') continue;
        if (has_control_chars(line))
            return fail(Status::bad_request, "Network key 'raw.dnsmasq': control characters are not allowed");
        const auto equals = line.find('=');
        const std::string name(trim(line.substr(0, equals)));
        if (std::ranges::find(kAllowed, name) == kAllowed.end()) {
            return fail(Status::bad_request,
                        fmt::format("Network key 'raw.dnsmasq': option '{}' is not allowed: only options "
                                    "about answers of DHCP and DNS are, not those that reach files, programs "
                                    "or other interfaces of the host",
                                    name));
        }
        if (equals == std::string_view::npos) {
            out.push_back("--" + name);
            continue;
        }
        out.push_back(fmt::format("--{}={}", name, trim(line.substr(equals + 1))));
    }
    return out;
}

}  // namespace lxmgr::network
