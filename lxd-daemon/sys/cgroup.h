#pragma once
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::sys {

/// The host's cgroups, whichever way they are mounted: v1, hybrid, pure v2. Every group of ours is one
/// directory below our own parent in the cgroup2 tree, which a guest gets to see, and one in each v1
/// hierarchy that a limit or a count needs, which it never sees. Limits are set from outside in both.
/// cgroups(7), Documentation/admin-guide/cgroup-v2.rst. Thread-safe; calls that change one group must not
/// overlap.
class Cgroups {
public:
    /// Controllers of the v1 hierarchies in which every container has a group: to count by, and for a service
    /// manager's.
    static constexpr std::string_view kEverywhere[] = {"memory", "pids", "name=systemd"};

    /// Finds the hierarchies, makes our parent directory in each, and enables the controllers of a pure v2
    /// host. A host without any cgroup2 mount gets one that is attached nowhere.
    static Result<Cgroups> open(const std::string& parent);

    /// Where a controller's files are: in a v1 hierarchy, in cgroup2, or nowhere.
    enum class Home { none, v1, v2 };
    [[nodiscard]] Home home(std::string_view controller) const;

    /// Makes the cgroup2 directory, delegated to the given host ids as the kernel's list of delegatable files
    /// says; its limit files stay root's. An existing one is taken over.
    /// @return the directory, for CLONE_INTO_CGROUP
    Result<UniqueFd> create(const std::string& name, uid_t owner, gid_t group);
    /// Makes the group in the v1 hierarchy of a controller. Does nothing where the controller has none.
    Result<> create_v1(const std::string& name, std::string_view controller);
    /// The same in every hierarchy that the host has mounted.
    Result<> create_v1_everywhere(const std::string& name);
    [[nodiscard]] bool has_v1(const std::string& name, std::string_view controller) const;
    /// The cgroup.procs files of the group in all v1 hierarchies that it is in, open for writing.
    Result<std::vector<UniqueFd>> v1_procs(const std::string& name) const;
    /// The same for a place of our own, away from the daemon's and from any container's: for helpers that
    /// must outlive the daemon. In cgroup2, and in the hierarchies of kEverywhere.
    Result<std::vector<UniqueFd>> keeper_procs() const;
    /// Makes groups, in the v1 hierarchies of kEverywhere, that no container has yet. @return their
    /// cgroup.procs files, open for writing; none on a host without such hierarchies
    Result<std::vector<UniqueFd>> make_spare();
    /// Gives these groups, with who is in them, to a container: a rename, which waits for nothing (only v1
    /// has it: kernel/cgroup/cgroup-v1.c, cgroup1_rename). On an error all of them are spare again, such as
    /// when the container has groups there.
    Result<> take_spare(const std::string& name);
    /// Errors: EBUSY while somebody is in them.
    Result<> remove_spare();

    /// Host pids of all processes in the group and below it.
    Result<std::vector<pid_t>> processes(const std::string& name) const;
    /// The same of every hierarchy: one on its way into the group stands in some of them only.
    Result<std::vector<pid_t>> processes_anywhere(const std::string& name) const;
    /// Moves every process of the group that is not there yet into its v1 hierarchy of this controller; again
    /// until no new one appears.
    Result<> gather_v1(const std::string& name, std::string_view controller);

    /// A file of the group in the controller's home; "" as controller means cgroup2. Errors: `not_found` when
    /// absent.
    Result<std::string> read(const std::string& name, std::string_view controller,
                             const std::string& file) const;
    Result<> write(const std::string& name, std::string_view controller, const std::string& file,
                   std::string_view text) const;
    /// The same of our parent's, for values that a group starts from.
    Result<std::string> read_parent(std::string_view controller, const std::string& file) const;

    /// After a change of a group's memory.low: gives our parent the sum of all, since the kernel protects no
    /// group beyond what the one above has. Does nothing where memory is not in cgroup2.
    Result<> pass_memory_low() const;

    /// Waits until all processes are frozen, or run again. Errors: `internal` after the timeout; it is thawed
    /// again then.
    Result<> freeze(const std::string& name, bool frozen, std::chrono::milliseconds timeout);
    [[nodiscard]] bool is_frozen(const std::string& name) const;
    /// The group's directory in cgroup2.
    Result<UniqueFd> open_group(const std::string& name) const;
    /// SIGKILL to all, cgroup.kill of Linux 5.14. Errors: `not_implemented` before.
    Result<> kill(const std::string& name);
    /// False: there are still processes after the timeout.
    bool wait_empty(const std::string& name, std::chrono::milliseconds timeout) const;
    /// Removes the group with all that a guest made in it. Absent is success. Errors: EBUSY while processes
    /// are in it.
    Result<> remove(const std::string& name);
    /// Groups that exist, in any hierarchy.
    [[nodiscard]] std::vector<std::string> names() const;

    /// Moving a process into a group waits 4-12 ms for an RCU grace period, unless another move has just paid
    /// for that (cgroup_threadgroup_rwsem is an rcu_sync: kernel/rcu/sync.c). This does a move that changes
    /// nothing: called ahead of a real one, from another thread, it hides the wait.
    void warm() const;
    /// A start has to move init into v1 groups; clone3 into cgroup2 does not wait.
    [[nodiscard]] bool start_moves() const { return !hierarchies_.empty(); }

private:
    struct Hierarchy {
        std::string mount_point;
        UniqueFd parent;  ///< our directory in it
    };
    Cgroups() = default;
    Result<> open_unified(const std::string& mount_point, const std::string& parent);
    Result<> open_v1(const std::string& mount_point, const std::string& options, const std::string& parent);
    void enable_controllers(int root);
    [[nodiscard]] const Hierarchy* v1(std::string_view controller) const;
    [[nodiscard]] int directory(std::string_view controller) const;
    /// Our directories in the hierarchies of kEverywhere, each once.
    [[nodiscard]] std::vector<int> everywhere() const;

    UniqueFd root_;     ///< of cgroup2
    UniqueFd unified_;  ///< our parent in cgroup2
    std::vector<Hierarchy> hierarchies_;
    std::map<std::string, std::size_t, std::less<>> v1_controllers_;
    std::vector<std::string> v2_controllers_;
    std::vector<std::string> delegated_;
};

}  // namespace lxmgr::sys
