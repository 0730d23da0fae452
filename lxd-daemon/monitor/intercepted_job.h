#pragma once
#include <linux/seccomp.h>
#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

/// Private to the answering of intercepted calls: who calls, and what can safely be read of it.
namespace lxmgr::monitor {

constexpr std::size_t kPath = 4096;
constexpr std::size_t kMaxGroups = 256;

/// Who makes a call, in the ids of the host.
struct Caller {
    unsigned uid = 0, gid = 0;  ///< of file access
    unsigned groups[kMaxGroups];
    std::size_t group_count = 0;
    unsigned long long capabilities = 0;
    unsigned mask = 022;
};

/// Descriptors of one caller; opened before the id of the call is checked, so that they are of that caller.
struct Handles {
    int memory = -1, root = -1, base = -1;
};

/// One call that is being worked on.
struct Job {
    int listener;
    const seccomp_notif& call;
    pid_t init;
    int run_dir;  ///< the container's, where the daemon leaves what is allowed
    Caller caller{};
    Handles handles{};
    char path[kPath];

    void pass_on() const;
    /// The caller still waits: so what was opened of its pid meanwhile is its own.
    [[nodiscard]] bool is_valid() const;
    [[nodiscard]] pid_t pid() const { return static_cast<pid_t>(call.pid); }
    void answer(std::int64_t value) const;
};

int open_of(pid_t pid, const char* entry, int flags);
/// Reads a number after blanks, and moves on behind it. @return false: there is none
bool take_number(const char*& at, unsigned base, unsigned long long& value);
/// The n-th number (from 0) of a line.
bool number_at(const char* at, unsigned skip, unsigned base, unsigned long long& value);
/// What follows a name in a text of lines; "" when it is not there.
const char* line_of(const char* text, const char* name);
bool read_caller(pid_t pid, Caller& caller);
/// Rights that a process has in a user namespace of its own making are no rights of the container's.
bool in_namespace_of(pid_t pid, pid_t init);
/// The caller's namespace of this kind ("mnt") is init's.
bool shares_namespace(pid_t pid, pid_t init, const char* kind);
/// A string of the caller's; false when it is too long or not there.
bool read_text(int memory, std::uint64_t address, char* out, std::size_t capacity);
bool open_handles(pid_t pid, int directory, Handles& handles);
/// The caller has the capability in the container's own user namespace; fills Job::caller.
bool may_call(Job& job, unsigned capability);
/// Common to the calls that need a path and a capability. @return false: the call was passed on
bool prepare(Job& job, int directory, std::uint64_t address, unsigned capability);

/// Device programs of the container's that the kernel holds: shared by all who answer its calls.
struct LoadedPrograms {
    std::atomic<std::uint32_t> ids[256];
};
/// Made by the first caller, for itself and its children.
LoadedPrograms& loaded_programs();

/// bpf(2) as far as it limits devices: the loading of such programs, and their places in cgroups of the
/// caller's.
void bpf_for(Job& job);
/// mount(2) of file systems that the daemon allows the container.
void mount_for(Job& job);

}  // namespace lxmgr::monitor
