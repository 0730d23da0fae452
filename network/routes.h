#pragma once
#include <string>
#include <vector>

#include "lxd-daemon/base/result.h"
#include "network/ip.h"
#include "network/netlink.h"

/// Routes, addresses and proxied neighbours of the socket's network namespace, one at a time.
namespace lxmgr::network {

/// An address of either family, or a net.
struct AnyNet {
    int family = 0;  ///< AF_INET or AF_INET6
    std::uint8_t bytes[16] = {};
    int prefix = 0;

    static AnyNet of(std::uint32_t ipv4);
    static AnyNet of(const Ipv6& ipv6);
    static AnyNet of(const Ipv4Net& net);
    static AnyNet of(const Ipv6Net& net);
    /// 0.0.0.0/0 or ::/0.
    static AnyNet everything(int family);
    [[nodiscard]] std::size_t size() const { return family == 2 /* AF_INET */ ? 4 : 16; }
    [[nodiscard]] std::string text() const;
    [[nodiscard]] bool operator==(const AnyNet&) const = default;
};

/// With link-local scope where it is of fe80::/10.
Result<> add_address(NetlinkSocket& socket, int link, const AnyNet& address);
/// What most routes do not say.
struct RouteOptions {
    std::uint32_t table = 0;                ///< 0: the main one
    std::uint32_t metric = 0;               ///< of several to one net the lowest counts
    std::uint8_t protocol = RTPROT_STATIC;  ///< who made it: kNetworkRoutes, kNicRoutes
};
/// To a net out of a link, through a gateway that is on it (null: straight). EEXIST when there is one.
Result<> add_route(NetlinkSocket& socket, int link, const AnyNet& to, const AnyNet* gateway,
                   const RouteOptions& options = {});
/// To everything of a family. A namespace that has such a route already keeps it as its first choice.
Result<> add_default_route(NetlinkSocket& socket, int link, int family, const AnyNet* gateway);
/// None is success. Only one out of this link by this protocol is taken away, and with the metric if it says
/// one.
Result<> remove_route(NetlinkSocket& socket, int link, const AnyNet& to, const RouteOptions& options);
/// Makes the routes by `protocol` out of a link exactly these. Errors: `conflict` for one that another link
/// has.
Result<> set_routes(NetlinkSocket& socket, int link, const std::vector<AnyNet>& nets, std::uint8_t protocol);
/// To exactly this net, of the main table; one with the metric `except` does not count (0: all do).
Result<bool> has_route(NetlinkSocket& socket, const AnyNet& to, std::uint32_t except = 0);
/// The host answers for an address on a link. Repeating it is harmless.
Result<> add_proxied(NetlinkSocket& socket, int link, const AnyNet& address);
/// None is success.
Result<> remove_proxied(NetlinkSocket& socket, int link, const AnyNet& address);

}  // namespace lxmgr::network
