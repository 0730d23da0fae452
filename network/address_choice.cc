#include "network/address_choice.h"

#include <fmt/format.h>

#include <algorithm>

#include "network/digest.h"

namespace lxmgr::network {
namespace {

std::uint32_t nth(const std::vector<Ipv4Range>& pool, std::uint64_t index) {
    for (const Ipv4Range& range : pool) {
        if (index < range.size()) return static_cast<std::uint32_t>(range.first + index);
        index -= range.size();
    }
    return pool.front().first;
}

}  // namespace

Result<std::uint32_t> choose_address(std::string_view name, const BridgeConfig& config,
                                     std::vector<std::uint32_t> taken) {
    const std::vector<Ipv4Range> pool = config.ipv4_pool();
    std::uint64_t size = 0;
    for (const Ipv4Range& range : pool) size += range.size();
    const Ipv4Net& net = *config.ipv4.address;
    taken.insert(taken.end(), {net.address, net.network(), net.broadcast()});
    if (config.ipv4_dhcp_gateway) taken.push_back(*config.ipv4_dhcp_gateway);
    std::ranges::sort(taken);
    const std::uint64_t start = size == 0 ? 0 : digest(name) % size;
    // Ranges may overlap, then some addresses are tried twice; never more tries than addresses.
    for (std::uint64_t step = 0; step < size; ++step) {
        const std::uint32_t address = nth(pool, (start + step) % size);
        if (!std::ranges::binary_search(taken, address)) return address;
    }
    return fail(Status::unavailable,
                fmt::format("All {} addresses of {} are taken: delete instances that have one, or widen "
                            "ipv4.dhcp.ranges or ipv4.address of the network",
                            size, format(net)));
}

namespace {

constexpr std::uint64_t kMaxOffsets = std::uint64_t{1} << 32;

/// How many addresses of a range may be chosen: its lower 32 bits.
std::uint64_t offsets(const Ipv6Range& range) {
    std::uint64_t upper_differs = 0;
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    for (std::size_t i = 0; i < 12; ++i)
        upper_differs |= static_cast<std::uint64_t>(range.first[i] != range.last[i]);
    for (std::size_t i = 12; i < 16; ++i) {
        first = first << 8 | range.first[i];
        last = last << 8 | range.last[i];
    }
    return (upper_differs != 0 ? kMaxOffsets - 1 : last) - first + 1;
}

Ipv6 plus(Ipv6 address, std::uint64_t offset) {
    std::uint64_t low = 0;
    for (std::size_t i = 12; i < 16; ++i) low = low << 8 | address[i];
    low += offset;
    for (std::size_t i = 16; i-- > 12; low >>= 8) address[i] = static_cast<std::uint8_t>(low & 0xff);
    return address;
}

}  // namespace

Result<Ipv6> choose_address_v6(std::string_view name, const BridgeConfig& config, std::vector<Ipv6> taken) {
    const Ipv6Net& net = *config.ipv6.address;
    taken.push_back(net.address);
    taken.push_back(net.network());
    std::ranges::sort(taken);
    const auto pool = config.ipv6_pool();
    for (const Ipv6Range& range : pool) {
        const std::uint64_t size = offsets(range);
        const std::uint64_t start = digest(name) % size;
        // More are never tried than are taken, and one.
        for (std::uint64_t step = 0; step < std::min<std::uint64_t>(size, taken.size() + 1); ++step) {
            const Ipv6 address = plus(range.first, (start + step) % size);
            if (!std::ranges::binary_search(taken, address)) return address;
        }
    }
    return fail(Status::unavailable,
                fmt::format("All addresses of ipv6.dhcp.ranges of {} are taken: delete instances that have "
                            "one, or widen the ranges",
                            format(net)));
}

}  // namespace lxmgr::network
