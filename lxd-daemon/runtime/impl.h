#pragma once
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/runtime/container.h"
#include "lxd-daemon/runtime/metrics.h"
#include "lxd-daemon/runtime/monitor_client.h"
#include "lxd-daemon/runtime/monitor_program.h"
#include "lxd-daemon/runtime/spare.h"
#include "lxd-daemon/runtime/warmer.h"
#include "lxd-daemon/sys/cgroup.h"
#include "lxd-daemon/sys/device_filter.h"

namespace lxmgr::runtime {

/// A container that runs. The descriptors do not change while it lives; `ready`, `booting`,
/// `halt_when_ready` and `ended` are guarded by Impl::mutex_.
struct Live {
    std::string name;
    std::string run_dir;
    UniqueFd run_dir_fd;
    pid_t init_pid = -1;
    UniqueFd init_pidfd;
    UniqueFd connection;  ///< to its monitor, for events
    Child monitor;        ///< pid -1: an earlier daemon started it, so somebody else reaps it
    sys::IdMap idmap;
    std::int64_t started_at_ns = 0;
    std::int64_t ready_at_ns = 0;
    bool ready = false;
    bool ended = false;            ///< its exit is being told
    bool booting = false;          ///< counted by the Warmer
    bool halt_when_ready = false;  ///< asked to halt before init could take the signal
};
using LivePtr = std::shared_ptr<Live>;

/// Runtime, spread over start.cc, recover.cc, watch.cc (the thread), control.cc and exec.cc.
class Impl final : public Runtime {
public:
    Impl(sys::Cgroups cgroups, MonitorProgram program, std::string seccomp, Listener listener);
    ~Impl() override;
    /// Starts the thread. Errors: `internal`.
    Result<> run();

    Result<Running> start(const StartRequest& request) override;
    bool guests_have(std::string_view controller) const override {
        return cgroups_.home(controller) == sys::Cgroups::Home::v2;
    }
    void expect_start() override;
    Result<> prepare_start(const StartRequest& request) override;
    void cancel_start(const std::string& name) override;
    Result<> keep(pid_t pid) override;
    Result<std::optional<Running>> recover(const std::string& name, const std::string& run_dir) override;
    void forget_exit(const std::string& run_dir) override;
    std::vector<std::string> leftovers() override;
    Result<> signal_halt(const std::string& name) override;
    Result<> kill(const std::string& name) override;
    bool wait_stopped(const std::string& name, std::optional<std::chrono::milliseconds> timeout) override;
    Result<> freeze(const std::string& name) override;
    Result<> unfreeze(const std::string& name) override;
    Result<> set_limits(const std::string& name, const Limits& old_limits, const Limits& new_limits) override;
    Result<> reset_limits(const std::string& name, const Limits& limits) override;
    Result<Usage> usage(const std::string& name) override;
    Result<Counts> counts(const std::string& name) override;
    Result<ExecHandle> exec(const std::string& name, const ExecRequest& request) override;
    Result<UniqueFd> attach_console(const std::string& name) override;
    Result<> resize_console(const std::string& name, unsigned width, unsigned height) override;
    Result<> attach(const std::string& name, const Attach& attach) override;
    Result<> detach(const std::string& name, const std::string& target, bool remove_file) override;
    Result<UniqueFd> open_root(const std::string& name) override;
    Result<UniqueFd> open_netns(const std::string& name) override;

private:
    struct Starting;  ///< start.cc

    [[nodiscard]] Result<LivePtr> find(const std::string& name);
    /// Reserves a name for a start or a recovery. Errors: `conflict` when it runs or is being started.
    Result<> reserve(const std::string& name);
    void release(const std::string& name);
    void end_boot(const LivePtr& live);
    Running adopt(const LivePtr& live);  ///< from here on the thread watches it; the reservation ends

    /// Makes the groups with their limits, and puts the spare monitor in them where it can be.
    /// @return the directory in cgroup2
    Result<UniqueFd> place(const StartRequest& request);
    [[nodiscard]] bool is_placed(const std::string& name);
    /// The monitor that is in the container's v1 groups, if any is.
    std::optional<IdleMonitor> take_placed(const std::string& name);
    Result<> make_cgroups(const StartRequest& request, Starting& starting);
    Result<> launch_monitor(const StartRequest& request, Starting& starting);
    Result<std::string> seccomp_for(const StartRequest& request);
    Result<LivePtr> boot(const StartRequest& request, Starting& starting);

    Result<LivePtr> reconnect(const std::string& name, const std::string& run_dir, UniqueFd run_dir_fd,
                              UniqueFd connection);
    Result<> bury(const std::string& name, const std::string& run_dir);
    Result<> end_strays(const std::string& name);
    Result<> end_latecomers(const std::string& name, std::chrono::steady_clock::time_point deadline);

    void watch_all(const std::stop_token& stop);
    void on_event(const LivePtr& live);
    void on_ready(const LivePtr& live, std::int64_t at_ns);
    void finish(const LivePtr& live);
    ExitStatus exit_of(const LivePtr& live);

    Result<> in_container(const std::string& name,
                          const std::function<Result<>(int root, int own_fds)>& work);
    Result<UniqueFd> open_of_init(const std::string& name, const char* entry, int flags);
    Result<> send_halt(const Live& live, bool& understood);
    Result<> filter_device(const std::string& name, const sys::DeviceNumber& device, bool allow);
    Result<> give_node(const std::string& name, const std::string& path, const sys::DeviceNumber& device);
    /// Undoes give_node(): what is noted of the path is allowed no more, whatever the guest has put there.
    /// @param seen  the node that was there, for runs without notes
    Result<> take_node_back(const std::string& name, const std::string& path,
                            const std::optional<sys::DeviceNumber>& seen);
    Result<> change_score(const Live& live, int before, int after);
    Result<> tell_groups(const Live& live, const std::string& name);
    Result<Received> ask_monitor(const Live& live, const wire::Writer& writer, const std::vector<int>& fds);

    sys::Cgroups cgroups_;
    MonitorProgram program_;
    std::string seccomp_;
    Listener listener_;
    Spare spare_;
    Warmer warmer_;

    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::string, LivePtr> live_;
    std::set<std::string> reserved_;
    std::map<std::string, IdleMonitor> placed_;  ///< between prepare_start() and start(), by container

    UniqueFd epoll_;
    UniqueFd wake_;  ///< eventfd that ends the thread
    std::jthread thread_;
};

/// Files that a run directory holds while a container runs or after it ended; absent ones are fine.
void remove_run_files(int run_dir);
/// What the monitor wrote; nullopt when it could not.
std::optional<ExitStatus> read_exit(const std::string& run_dir);

constexpr std::chrono::milliseconds kMonitorTimeout{30'000};
constexpr std::chrono::milliseconds kFinishTimeout{10'000};

}  // namespace lxmgr::runtime
