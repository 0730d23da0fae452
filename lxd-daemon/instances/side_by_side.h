#pragma once
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <system_error>
#include <thread>
#include <vector>

namespace lxmgr::instances {

/// Calls `work` once for each item, at most `width` at a time, and returns when all are done. Threads of its
/// own, the caller's among them: stopping an instance is mostly waiting. Where no thread is to be had it only
/// takes longer.
template <typename Item>
void side_by_side(const std::vector<Item>& items, std::size_t width,
                  const std::function<void(const Item&)>& work) {
    std::atomic<std::size_t> next{0};
    const auto run = [&] {
        for (std::size_t at = next++; at < items.size(); at = next++) work(items[at]);
    };
    std::vector<std::jthread> others;
    try {
        while (others.size() + 1 < std::min(width, items.size())) others.emplace_back(run);
    } catch (const std::system_error&) {  // fewer, then
    }
    run();
}

}  // namespace lxmgr::instances
