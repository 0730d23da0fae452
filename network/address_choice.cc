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
    return fail(Status::unavailable, fmt::format("All {} addresses of {} are taken", size, format(net)));
}

}  // namespace lxmgr::network
