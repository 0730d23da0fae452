#pragma once
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "lxd-daemon/monitor/wire.h"
#include "lxd-daemon/runtime/child/init.h"

/// The one container that this process looks after. Single-threaded, no heap: what can grow has a fixed
/// table, so the monitor cannot run out of memory in the middle of its duty, and stays at some 100 KiB.
namespace lxmgr::monitor {

constexpr std::size_t kMaxFd = 16384;  ///< descriptors: two for each running command
constexpr std::size_t kMaxCgroups = 16;
constexpr std::size_t kMaxSeccompBytes = 32 * 1024;
constexpr std::size_t kMaxInterceptBytes = 4 * 1024;

struct State {
    int epoll = -1;
    int control = -1;  ///< to the daemon that started us; a watcher after the start
    int run_dir = -1;
    int listener = -1;
    int cgroup = -1;  ///< the container's cgroup2 directory
    pid_t init_pid = -1;
    int init_pidfd = -1;
    int devpts = -1;
    int notify = -1;
    bool ready = false;
    std::uint64_t started_at_ns = 0;  ///< CLOCK_REALTIME
    std::uint64_t ready_at_ns = 0;
    std::uint32_t host_uid = 0;  ///< of the container's root
    std::uint32_t host_gid = 0;
    int cgroup_procs[kMaxCgroups];
    std::size_t cgroup_count = 0;
    bool placed = false;                ///< the monitor is in them, until it moves to its own place
    char* shown_name = nullptr;         ///< argv[1]
    int own_cgroup_procs[kMaxCgroups];  ///< the monitor's own place
    std::size_t own_cgroup_count = 0;
    child::Confinement confinement;
};

extern State state;
/// For one incoming message; kept out of the stack and given back to the kernel after a big one.
extern char message_buffer[wire::kMaxMessage];
void release_message_buffer(long used);
std::uint64_t now_ns();  ///< CLOCK_REALTIME
/// A message of this type with one time.
void send_time(int socket, wire::Type type, std::uint64_t time_ns);

}  // namespace lxmgr::monitor
