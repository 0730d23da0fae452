#include "lxd-daemon/devices/hot_nodes.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::devices {
namespace {

constexpr const char* kKeptNodes = "last_state.nodes";

}  // namespace

HotNodes held_nodes(const DeviceContext& context) {
    HotNodes out;
    for (const auto& part : split(context.volatile_value(kKeptNodes), ',')) {
        const auto at = part.rfind('=');
        if (at != std::string::npos) out[part.substr(0, at)] = part.substr(at + 1);
    }
    return out;
}

api::ConfigMap note_nodes(const DeviceContext& context, const HotNodes& nodes) {
    std::string text;
    for (const auto& [target, number] : nodes)
        text += fmt::format("{}{}={}", text.empty() ? "" : ",", target, number);
    return {{context.volatile_key(kKeptNodes), text}};
}

std::string number_of(bool block, unsigned major, unsigned minor) {
    return fmt::format("{}{}:{}", block ? 'b' : 'c', major, minor);
}

Result<Attach> attach_hot_node(const DeviceContext& context, const std::string& target,
                               const std::string& number) {
    const auto parts = split(std::string_view(number).substr(1), ':');
    const auto major = parts.size() == 2 ? parse_uint(parts[0]) : std::nullopt;
    const auto minor = parts.size() == 2 ? parse_uint(parts[1]) : std::nullopt;
    if (!major || !minor) return fail(Status::internal, fmt::format("'{}' is no device number", number));
    Node node = node_with_keys(context);
    node.type = number.front() == 'b' ? S_IFBLK : S_IFCHR;
    node.device = makedev(static_cast<unsigned>(*major), static_cast<unsigned>(*minor));
    LX_TRY_AS(UniqueFd mount, make_node_mount(node, context.idmap));
    return Attach{std::move(mount), target, false};
}

Result<Started> start_with_nodes(const DeviceContext& context, const HotNodes& nodes) {
    Started started;
    for (const auto& [target, number] : nodes) {
        LX_TRY_AS(auto attach, attach_hot_node(context, target, number));
        started.attaches.push_back(std::move(attach));
    }
    if (!nodes.empty()) started.volatile_changes = note_nodes(context, nodes);
    return started;
}

std::vector<Detach> detach_nodes(const DeviceContext& context) {
    std::vector<Detach> out;
    for (const auto& [target, number] : held_nodes(context)) {
        Detach detach;
        detach.target = target;
        detach.remove_file = true;
        out.push_back(std::move(detach));
    }
    return out;
}

}  // namespace lxmgr::devices
