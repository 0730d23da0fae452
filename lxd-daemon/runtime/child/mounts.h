#pragma once
#include <cstddef>

#include "lxd-daemon/runtime/child/report.h"

namespace lxmgr::child {

/// A detached mount and where it belongs in the container.
struct Attachment {
    int mount_fd;
    const char* target;
    bool is_directory;
};

/// Makes the detached mount the root directory. The old root stays reachable as "." until detach_old_root():
/// proc and sysfs can be mounted only while a fully visible one is in the namespace (mount_too_revealing,
/// fs/namespace.c).
void enter_root(const Report& report, int root_fd);

/// All file systems that a systemd guest expects to find, but its cgroups. From here on every path is
/// resolved beneath the new root, so a symlink in a hostile image leads nowhere else.
void mount_system(const Report& report, int dev_fd);
void detach_old_root(const Report& report);

/// For a container without a user namespace, whose root the kernel would let write there: /proc/sys but its
/// net, /proc/sysrq-trigger and /sys but its network devices become read-only, as LXC's proc:mixed,
/// sys:mixed.
void protect_proc(const Report& report);

/// /dev/.lxc/{proc,sys}: a proc and a sysfs that nothing is mounted over, which the kernel demands to see
/// before it lets a nested user namespace have its own (mount_too_revealing, fs/namespace.c).
void mount_nesting(const Report& report);

/// Targets are resolved with RESOLVE_IN_ROOT and made where missing.
void attach_all(const Report& report, const Attachment* attachments, std::size_t count);

/// cgroup2 alone at /sys/fs/cgroup, on every kind of host: docs/explanation/kernel-facts.md. In a new cgroup
/// namespace.
void mount_cgroups(const Report& report);

}  // namespace lxmgr::child
