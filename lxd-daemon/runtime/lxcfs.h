#pragma once
#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::runtime {

/// One of lxcfs's files, to be put over the kernel's own of that path inside a container.
struct LxcfsFile {
    UniqueFd mount;  ///< detached
    std::string target;
};

/// lxcfs(8): one FUSE server for all containers, whose /proc/meminfo and the like tell of the reader's cgroup
/// instead of the machine. It outlives this object and the daemon; the next one takes it over, known by the
/// lock that it holds on its pid file. A thread, which starts when it is first needed, sees to it that it
/// runs. Thread-safe.
class Lxcfs {
public:
    /// All called on the thread.
    struct Hooks {
        std::function<void(pid_t pid)> keep;  ///< to be moved out of the daemon's own cgroup
        /// It runs now (nullopt), or what is wrong.
        std::function<void(const std::optional<Error>& problem)> changed;
        /// It was started anew: what containers have of the one before is dead, and to be replaced.
        std::function<void()> renewed;
    };
    /// @param directory STATE/lxcfs: pid file, log and mount point
    Lxcfs(std::string directory, Hooks hooks);
    ~Lxcfs();  ///< leaves the process running
    Lxcfs(Lxcfs&&) = delete;

    /// A hint that clone_files() will be called: starts it meanwhile.
    void expect();
    /// Containers run that have its files: as expect(), and one that died while no daemon was there counts as
    /// renewed.
    void recover();
    /// Waits when it is being started. Errors: `not_found` when lxcfs is not installed, else why it does not
    /// run.
    Result<std::vector<LxcfsFile>> clone_files();
    /// Ends the process, for when no container runs.
    void end();

private:
    enum class State { idle, starting, ready, failed };
    struct Process {
        pid_t pid = -1;
        UniqueFd pidfd;
        bool is_child = false;
    };
    struct File {
        UniqueFd fd;
        std::string target;
    };

    [[nodiscard]] std::string mount_point() const { return directory_ + "/mount"; }
    [[nodiscard]] std::string pid_file() const { return directory_ + "/pid"; }
    void want(std::unique_lock<std::mutex>& lock);
    void serve(const std::stop_token& stop);
    bool await_wish(const std::stop_token& stop, bool needed);
    std::optional<Process> find() const;
    Result<Process> start();
    Result<Process> take_over_or_start(bool& fresh);
    bool await_mount(const Process& process, std::chrono::milliseconds timeout) const;
    void unmount() const;
    void finish(Process& process) const;
    Result<std::vector<File>> open_files() const;
    void publish(Result<std::vector<File>> files);

    const std::string directory_;
    const Hooks hooks_;
    std::mutex mutex_;
    std::condition_variable_any wake_;
    State state_ = State::idle;
    bool wanted_ = false, recovering_ = false;
    std::vector<File> files_;
    Error problem_;
    std::chrono::steady_clock::time_point failed_at_{};
    UniqueFd stop_event_;
    std::jthread thread_;
};

}  // namespace lxmgr::runtime
