#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lxmgr/client.h"
#include "lxmgr/terminal.h"

/// What `lxmgr top` draws: text out of two samples, without a terminal or a daemon.
namespace lxmgr::cli {

/// One instance as it was at the time of a sample; the counters only grow while it runs.
struct TopCounters {
    std::string name, project, state;
    std::uint64_t cpu_ns = 0, memory_bytes = 0, processes = 0, received_bytes = 0, sent_bytes = 0;
};

struct TopSample {
    std::chrono::steady_clock::time_point at;
    std::map<std::string, TopCounters> instances;  ///< by project and name
};

/// Of the answer to GET /1.0/instances?recursion=2.
TopSample top_sample(const Json& instances, std::chrono::steady_clock::time_point at);

enum class TopSort { cpu, memory, processes, network, name };
struct TopView {
    TopSort sort = TopSort::cpu;
    bool reversed = false;
    bool with_project = false;
};

/// Takes a key: c, m, p, n (network), a (name), r (reverse). False: it means nothing.
bool change_view(TopView& view, char key);

/// Lines of text: what changed from the first sample to the second, for each instance of the second.
/// @param size  lines and columns beyond it are left out; zeros: no limit
std::vector<std::string> top_frame(const TopSample& before, const TopSample& now, const TopView& view,
                                   WindowSize size);

}  // namespace lxmgr::cli
