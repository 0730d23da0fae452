#include "network/ports.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "network/bridge.h"
#include "network/links.h"

namespace lxmgr::network {
namespace {

constexpr std::size_t kListBytes = 4096;

std::vector<std::string> noted(const std::string& file) {
    std::vector<std::string> out;
    const auto text = read_file(file, kListBytes);
    if (!text) return out;
    for (const auto& line : split(*text, '\n')) {
        if (check_interface_name(line)) out.push_back(line);
    }
    return out;
}

Result<> check_port(const Link& link, int master) {
    if (link.master != 0 && link.master != master) {
        return fail(
            Status::bad_request,
            fmt::format("bridge.external_interfaces: '{}' is a port of another interface", link.name));
    }
    LX_TRY_AS(const auto state, interface_state(link.name));
    const bool configured = std::ranges::any_of(
        state.addresses, [](const Address& address) { return address.scope == "global"; });
    if (!configured || link.master == master) return {};
    return fail(Status::bad_request,
                fmt::format("bridge.external_interfaces: '{}' has addresses: only interfaces without can be "
                            "ports of a bridge",
                            link.name));
}

}  // namespace

Result<> apply_external_interfaces(const std::string& bridge, const std::string& state_dir,
                                   const std::vector<std::string>& wanted) {
    const std::string file = state_dir + "/external-interfaces";
    const auto before = noted(file);
    if (before.empty() && wanted.empty()) return {};
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const auto links, list_links(socket));
    const auto find = [&links](const std::string& name) {
        return std::ranges::find(links, name, &Link::name);
    };
    const auto master = find(bridge);
    if (master == links.end()) return {};
    for (const auto& name : before) {
        const auto link = find(name);
        const bool still = std::ranges::find(wanted, name) != wanted.end();
        if (!still && link != links.end() && link->master == master->index)
            LX_TRY(set_master(socket, *link, 0));
    }
    for (const auto& name : wanted) {
        const auto link = find(name);
        if (link == links.end()) {
            return fail(Status::bad_request,
                        fmt::format("bridge.external_interfaces: interface '{}' does not exist", name));
        }
        LX_TRY(check_port(*link, master->index));
    }
    // Noted before it is so: what a crash leaves is let go of too.
    if (wanted.empty()) LX_TRY(remove_tree(file));
    if (!wanted.empty()) LX_TRY(write_file_atomic(file, fmt::format("{}\n", fmt::join(wanted, "\n"))));
    failpoint("network.ports_noted");
    for (const auto& name : wanted) {
        const auto link = find(name);
        if (link->master != master->index) LX_TRY(set_master(socket, *link, master->index));
    }
    return {};
}

}  // namespace lxmgr::network
