#pragma once
#include <array>

namespace lxmgr::sys {

struct HarmlessDevice {
    unsigned major;
    unsigned minor;
};

/// Character devices whose nodes may come from outside, at any path of a tree: overlay's whiteout, which is
/// no device at all (opening it is ENXIO), and those that every system gives to everybody. They add nothing
/// to what a container has: its own /dev holds them, whatever its root file system does. That is so for a
/// privileged one, too, whose root makes any node it likes with mknod(2): what it can open is for its
/// cgroup's device filter to say (runtime/dev.h), and these are on that list already. /dev/console is not
/// here, though it is on the list: in a container it is a pty, while a node 5:1 is the host's own console.
inline constexpr std::array kHarmlessDevices{
    HarmlessDevice{0, 0},  // whiteout, Documentation/filesystems/overlayfs.rst
    HarmlessDevice{1, 3},  // null; these by Documentation/admin-guide/devices.txt
    HarmlessDevice{1, 5},  // zero
    HarmlessDevice{1, 7},  // full
    HarmlessDevice{1, 8},  // random
    HarmlessDevice{1, 9},  // urandom
    HarmlessDevice{5, 0},  // tty
    HarmlessDevice{5, 2},  // ptmx
};

/// Of a character device; no block device is harmless.
constexpr bool is_harmless_device(unsigned major, unsigned minor) {
    for (const HarmlessDevice& device : kHarmlessDevices) {
        if (device.major == major && device.minor == minor) return true;
    }
    return false;
}

}  // namespace lxmgr::sys
