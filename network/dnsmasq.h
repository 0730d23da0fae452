#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"
#include "network/bridge.h"
#include "network/bridge_config.h"

/// The DHCP and DNS server of one bridge: dnsmasq(8), configured by its arguments alone.
namespace lxmgr::network {

/// Its whole command line. Pure function: the same config gives the same arguments, so that a live process is
/// compared with what is wanted by its /proc/PID/cmdline. No argument holds text of a user that was not
/// parsed.
std::vector<std::string> dnsmasq_arguments(const std::string& bridge, const std::string& state_dir,
                                           const BridgeConfig& config);

/// The line of a claim for --dhcp-hostsdir: MAC, any client id, addresses, name.
std::string host_entry(const AddressClaim& claim, const BridgeConfig& config);
/// The file name of a claim there, unique per (instance, device).
std::string host_file_name(const AddressClaim& claim);

/// The process. Not thread-safe: its Bridge takes turns. It outlives this object and the daemon.
class Dnsmasq {
public:
    Dnsmasq(std::string bridge, std::string state_dir);

    /// Makes one process run with these arguments: takes over a live one that has them (and, with
    /// `must_restart` unset, whose sockets are still good), else replaces it. Errors: `unavailable` when
    /// dnsmasq is not installed.
    Result<> run(const std::vector<std::string>& arguments, bool must_restart);
    /// Ends every process of ours for this bridge and removes the pid file.
    Result<> stop();
    /// False when it was started here or taken over, and has ended since.
    [[nodiscard]] bool alive() const;
    /// Makes it read the host entries again from scratch: it learns of new files by itself, but never forgets
    /// one.
    void reload();
    /// 0 when none.
    [[nodiscard]] pid_t pid() const { return process_ ? process_->pid : 0; }
    [[nodiscard]] UniqueFd pidfd() const;
    /// Ends a process that does not answer.
    void kill();

private:
    struct Process {
        pid_t pid = 0;
        UniqueFd pidfd;
        std::vector<std::string> arguments;
    };
    [[nodiscard]] std::string pid_file() const { return state_dir_ + "/dnsmasq.pid"; }
    [[nodiscard]] std::optional<Process> examine(pid_t pid) const;
    [[nodiscard]] std::optional<Process> from_pid_file() const;
    [[nodiscard]] std::vector<Process> find_all() const;
    static Result<> end(const Process& process);

    std::string bridge_;
    std::string state_dir_;
    std::optional<Process> process_;
};

}  // namespace lxmgr::network
