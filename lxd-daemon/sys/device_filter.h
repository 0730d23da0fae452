#pragma once
#include <optional>
#include <span>
#include <vector>

#include "lxd-daemon/base/result.h"

namespace lxmgr::sys {

/// A device node's kind and number.
struct DeviceNumber {
    bool block = false;
    unsigned major = 0;
    std::optional<unsigned> minor;  ///< none: all of the major number
};

/// From now on processes of the cgroup2 group, and of all below it, can open these devices only; they may
/// make nodes of any number. A BPF program on the group: works beside v1 hierarchies too.
/// @param given  those that disallow_device() can take away again
/// Errors: `internal` with errno. Linux 4.15, CONFIG_CGROUP_BPF; Documentation/admin-guide/cgroup-v2.rst.
Result<> limit_devices(int cgroup_fd, std::span<const DeviceNumber> always,
                       std::span<const DeviceNumber> given);

/// Lets the group open one more, as often as it is called. A group without limits is left alone. Errors:
/// `not_implemented` for a filter of an earlier version, which cannot be changed.
Result<> allow_device(int cgroup_fd, const DeviceNumber& device);
/// Takes back one allow_device(), or what was given at first. What is open stays so.
Result<> disallow_device(int cgroup_fd, const DeviceNumber& device);

}  // namespace lxmgr::sys
