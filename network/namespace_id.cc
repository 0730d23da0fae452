#include "network/namespace_id.h"

#include <linux/net_namespace.h>

#include <optional>

namespace lxmgr::network {
namespace {

Result<std::optional<NamespaceId>> lookup_namespace(NetlinkSocket& socket, int netns_fd) {
    NetlinkMessage request(RTM_GETNSID, 0, rtgenmsg{});
    request.add_u32(NETNSA_FD, static_cast<std::uint32_t>(netns_fd));
    std::optional<NamespaceId> id;
    LX_TRY(socket.get(std::move(request), "Looking up a network namespace", [&id](const nlmsghdr* message) {
        const NetlinkAttributes attributes(message, sizeof(rtgenmsg));
        const auto value = attributes.value(NETNSA_NSID, std::int32_t{NETNSA_NSID_NOT_ASSIGNED});
        if (value != NETNSA_NSID_NOT_ASSIGNED) id = value;
    }));
    return id;
}

}  // namespace

Result<NamespaceId> namespace_id(NetlinkSocket& socket, int netns_fd) {
    LX_TRY_AS(std::optional<NamespaceId> id, lookup_namespace(socket, netns_fd));
    if (id) return *id;
    NetlinkMessage request(RTM_NEWNSID, 0, rtgenmsg{});
    request.add_u32(NETNSA_FD, static_cast<std::uint32_t>(netns_fd));
    request.add_u32(NETNSA_NSID,
                    static_cast<std::uint32_t>(NETNSA_NSID_NOT_ASSIGNED));  // the kernel picks one
    auto assigned = socket.change(std::move(request), "Naming a network namespace");
    if (!assigned && assigned.error().sys_errno != EEXIST)
        return std::unexpected(std::move(assigned).error());
    LX_TRY_AS(id, lookup_namespace(socket, netns_fd));
    if (!id) return fail(Status::internal, "Naming a network namespace: the kernel gave it no id");
    return *id;
}

}  // namespace lxmgr::network
