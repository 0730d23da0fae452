#pragma once
#include <cstdint>

/// Where a start or an exec failed: sent as a number with an errno, since post-clone code neither formats nor
/// logs. Numbers are part of the wire: append only.
namespace lxmgr::wire {

enum class Step : std::uint32_t {
    none,
    read_spec,
    clone_init,
    write_id_maps,
    place_in_cgroups,
    listen,
    init_died,
    become_root,
    private_mounts,
    attach_root,
    pivot_root,
    attach_dev,
    mount_proc,
    mount_sys,
    detach_old_root,
    mount_devpts,
    mount_mqueue,
    mount_shm,
    mount_run,
    notify_socket,
    open_console,
    attach_mount,
    cgroup_namespace,
    mount_cgroup,
    set_hostname,
    load_seccomp,
    exec_init,
    clone_seat,
    join_cgroups,
    enter_namespaces,
    open_pty,
    clone_command,
    no_seat,
    too_many,
    console,
    drop_capabilities,
    set_kernel_limit,  ///< detail: which of the start message's
    write_sysctl,      ///< detail: likewise
    protect_proc,
    mount_nesting,
    load_intercepts,
    choose_profile,
};

constexpr const char* step_name(Step step) {
    switch (step) {
        case Step::none:
            return "nothing";
        case Step::read_spec:
            return "reading the request";
        case Step::clone_init:
            return "creating the namespaces";
        case Step::write_id_maps:
            return "writing the id maps";
        case Step::place_in_cgroups:
            return "placing init in its cgroups";
        case Step::listen:
            return "making the monitor's socket";
        case Step::init_died:
            return "setting up (the process was killed)";
        case Step::become_root:
            return "becoming the container's root user";
        case Step::private_mounts:
            return "making the mounts private";
        case Step::attach_root:
            return "attaching the root file system";
        case Step::pivot_root:
            return "changing to the root file system";
        case Step::attach_dev:
            return "attaching /dev";
        case Step::mount_proc:
            return "mounting /proc";
        case Step::mount_sys:
            return "mounting /sys";
        case Step::detach_old_root:
            return "detaching the host's mounts";
        case Step::mount_devpts:
            return "mounting /dev/pts";
        case Step::mount_mqueue:
            return "mounting /dev/mqueue";
        case Step::mount_shm:
            return "mounting /dev/shm";
        case Step::mount_run:
            return "mounting /run";
        case Step::notify_socket:
            return "making /run/host/notify";
        case Step::open_console:
            return "opening the console";
        case Step::attach_mount:
            return "attaching a mount";
        case Step::cgroup_namespace:
            return "creating the cgroup namespace";
        case Step::mount_cgroup:
            return "mounting /sys/fs/cgroup";
        case Step::set_hostname:
            return "setting the host name";
        case Step::load_seccomp:
            return "loading the seccomp filter";
        case Step::exec_init:
            return "executing init";
        case Step::clone_seat:
            return "creating the process that commands start from";
        case Step::join_cgroups:
            return "joining the container's cgroups";
        case Step::enter_namespaces:
            return "entering the container's namespaces";
        case Step::open_pty:
            return "opening a pty";
        case Step::clone_command:
            return "creating the command's process";
        case Step::no_seat:
            return "starting the command (the process that starts commands was ended)";
        case Step::too_many:
            return "starting the command (too many at once)";
        case Step::console:
            return "attaching to the console";
        case Step::drop_capabilities:
            return "dropping capabilities";
        case Step::set_kernel_limit:
            return "setting a kernel limit";
        case Step::write_sysctl:
            return "writing a sysctl";
        case Step::protect_proc:
            return "making parts of /proc and /sys read-only";
        case Step::mount_nesting:
            return "mounting /dev/.lxc for nested containers";
        case Step::choose_profile:
            return "choosing the AppArmor profile";
        case Step::load_intercepts:
            return "loading the filter of intercepted system calls";
    }
    return "an unknown step";
}

}  // namespace lxmgr::wire
