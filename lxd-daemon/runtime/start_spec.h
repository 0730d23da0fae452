#pragma once
#include <string>
#include <vector>

#include "lxd-daemon/base/result.h"
#include "lxd-daemon/monitor/wire.h"
#include "lxd-daemon/runtime/container.h"

namespace lxmgr::runtime {

/// Descriptors of a start message that are not in the request; owned by the caller.
struct StartFds {
    int dev = -1;
    int cgroup = -1;
    int console_log = -1;
    int run_dir = -1;
    std::vector<int> cgroup_procs;
    std::vector<int> keeper_procs;
    bool is_placed = false;  ///< the monitor is in the groups of cgroup_procs already
};

/// BPF programs, see runtime/seccomp.h; empty: none.
struct Filters {
    std::string syscalls, intercepts;
};

/// Sends the start message; its layout is read by monitor/start.cc.
Result<> send_start(int control, const StartRequest& request, const StartFds& fds, const Filters& filters);

/// Writes a list of strings as wire::Reader::list() reads it.
void write_list(wire::Writer& writer, const std::vector<std::string>& strings);

}  // namespace lxmgr::runtime
