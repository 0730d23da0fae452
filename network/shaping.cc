#include "network/shaping.h"

#include <fmt/format.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <limits>

#include "network/links.h"

namespace lxmgr::network {
namespace {

// Handles as tc(8) shows them: 1: and its class 1:10.
constexpr std::uint32_t kRoot = 0x00010000;
constexpr std::uint32_t kClass = 0x00010010;
constexpr std::uint32_t kMinorOfClass = kClass & 0xffff;

constexpr std::uint64_t kMinBurstBytes = 16384;
constexpr std::uint64_t kBurstsPerSecond = 100;
constexpr std::uint64_t kNanosecondsPerTick = 64;  // PSCHED_SHIFT of net/pkt_sched.h
constexpr std::uint32_t kQuantumBytes = 60000;

tcmsg about(int link, std::uint32_t handle, std::uint32_t parent) {
    tcmsg info{};
    info.tcm_family = AF_UNSPEC;
    info.tcm_ifindex = link;
    info.tcm_handle = handle;
    info.tcm_parent = parent;
    return info;
}

/// How long the burst takes at this rate, in the kernel's ticks.
std::uint32_t burst_ticks(std::uint64_t bytes_per_second) {
    const std::uint64_t burst = std::max(kMinBurstBytes, bytes_per_second / kBurstsPerSecond);
    const double nanoseconds =
        static_cast<double>(burst) * 1e9 / static_cast<double>(std::max<std::uint64_t>(bytes_per_second, 1));
    constexpr auto kMost = static_cast<double>(std::numeric_limits<std::uint32_t>::max());
    return static_cast<std::uint32_t>(std::min(nanoseconds / kNanosecondsPerTick, kMost));
}

NetlinkMessage class_message(int link, std::uint64_t bytes_per_second) {
    constexpr std::uint64_t kMost32 = std::numeric_limits<std::uint32_t>::max();
    tc_htb_opt options{};
    options.rate.linklayer = TC_LINKLAYER_ETHERNET;
    options.rate.rate = static_cast<std::uint32_t>(std::min(bytes_per_second, kMost32));
    options.ceil = options.rate;
    options.buffer = options.cbuffer = burst_ticks(bytes_per_second);
    options.quantum = kQuantumBytes;
    NetlinkMessage message(RTM_NEWTCLASS, NLM_F_CREATE | NLM_F_EXCL, about(link, kClass, kRoot));
    message.add(TCA_KIND, "htb");
    const auto nest = message.begin(TCA_OPTIONS);
    message.add(TCA_HTB_PARMS, &options, sizeof options);
    if (bytes_per_second > kMost32) {
        message.add(TCA_HTB_RATE64, &bytes_per_second, sizeof bytes_per_second);
        message.add(TCA_HTB_CEIL64, &bytes_per_second, sizeof bytes_per_second);
    }
    message.end(nest);
    return message;
}

Result<Link> require_link(NetlinkSocket& socket, const std::string& interface) {
    LX_TRY_AS(auto link, find_link(socket, interface));
    if (!link) return fail(Status::not_found, fmt::format("Interface '{}' is gone", interface));
    return *std::move(link);
}

/// There is always a root; only one that was set can be taken away.
Result<> remove_root(NetlinkSocket& socket, const Link& link) {
    auto removed = socket.change(NetlinkMessage(RTM_DELQDISC, 0, about(link.index, kRoot, TC_H_ROOT)),
                                 fmt::format("Lifting the rate limit of '{}'", link.name));
    if (removed || removed.error().sys_errno == ENOENT || removed.error().sys_errno == EINVAL) return {};
    return removed;
}

}  // namespace

Result<> limit_rate(const std::string& interface, std::uint64_t bits_per_second) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const Link link, require_link(socket, interface));
    LX_TRY(remove_root(socket, link));
    if (bits_per_second == 0) return {};
    const std::string doing = fmt::format("Limiting the rate of '{}'", interface);
    tc_htb_glob options{};
    options.version = TC_HTB_PROTOVER;
    options.rate2quantum = 10;  // tc-htb(8)'s own, unused where the class says its quantum
    options.defcls = kMinorOfClass;
    NetlinkMessage root(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, about(link.index, kRoot, TC_H_ROOT));
    root.add(TCA_KIND, "htb");
    const auto nest = root.begin(TCA_OPTIONS);
    root.add(TCA_HTB_INIT, &options, sizeof options);
    root.end(nest);
    LX_TRY(socket.change(std::move(root), doing));
    auto limited =
        socket.change(class_message(link.index, std::max<std::uint64_t>(bits_per_second / 8, 1)), doing);
    if (!limited) static_cast<void>(remove_root(socket, link).has_value());
    return limited;
}

Result<> isolate_port(const std::string& interface, bool isolated) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const Link link, require_link(socket, interface));
    ifinfomsg info{};
    info.ifi_index = link.index;
    NetlinkMessage message(RTM_NEWLINK, 0, info);
    const auto outer = message.begin(IFLA_LINKINFO);
    message.add(IFLA_INFO_SLAVE_KIND, "bridge");
    const auto inner = message.begin(IFLA_INFO_SLAVE_DATA);
    const std::uint8_t value = isolated ? 1 : 0;
    message.add(IFLA_BRPORT_ISOLATED, &value, sizeof value);
    message.end(inner);
    message.end(outer);
    return socket.change(std::move(message), fmt::format("Isolating port '{}'", interface));
}

}  // namespace lxmgr::network
