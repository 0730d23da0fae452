#pragma once
#include <mutex>
#include <optional>
#include <string>

#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/runtime/monitor_program.h"
#include "lxd-daemon/sys/cgroup.h"

namespace lxmgr::runtime {

/// A monitor that has been told nothing yet. It ends by itself when its connection is closed.
struct IdleMonitor {
    Child process;
    UniqueFd connection;
};

/// Starts a monitor. `name` is what ps(1) shows.
Result<IdleMonitor> launch_monitor(const MonitorProgram& program, const std::string& name);
/// Ends one that was not told `go`, and reaps it: it undoes what it did. One that does not come to an end is
/// killed, with the container's init if there is one.
void end_monitor(IdleMonitor& monitor, int init_pidfd = -1);

/// One monitor that waits for the next start, in v1 cgroups that only need the container's name: what it
/// clones is born in them, and the start waits for no grace period (8-17 ms with CONFIG_HZ=250, see
/// docs/explanation/kernel-facts.md). On a host without v1 groups there is none, and no need. Thread-safe.
class Spare {
public:
    /// Both must outlive this.
    Spare(sys::Cgroups& cgroups, const MonitorProgram& program) : cgroups_(cgroups), program_(program) {}
    /// Ends it, and removes its groups.
    ~Spare();

    /// Makes one where there is none. The moves wait for the kernel, as Cgroups::warm() does. @return false:
    /// there was nothing to do, or it failed, which the log says
    bool fill();
    [[nodiscard]] bool is_ready();
    /// Gives it, with its groups, to a container that has no v1 groups yet. nullopt: there is none, or it
    /// cannot be had.
    std::optional<IdleMonitor> take(const std::string& name);

private:
    Result<IdleMonitor> make();
    sys::Cgroups& cgroups_;
    const MonitorProgram& program_;
    std::mutex mutex_;
    std::optional<IdleMonitor> ready_;
    bool failed_ = false;  ///< said once
};

}  // namespace lxmgr::runtime
