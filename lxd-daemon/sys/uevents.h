#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

/// What the kernel says when devices come and go (Documentation/ABI/testing/sysfs-uevent).
namespace lxmgr::sys {

struct Uevent {
    std::string action;     ///< "add", "remove", "change", ...
    std::string subsystem;  ///< "block", "usb", ...
    std::string node;       ///< beneath /dev; empty: the device has none
};

/// A non-blocking socket of the network namespace that the caller is in; the kernel tells all that belong to
/// the host's user namespace. What it hears is a reason to look, and no more: udev's messages are heard too.
Result<UniqueFd> open_uevents();
/// The next one; nullopt: there is none now. When some were lost it is one without an action.
std::optional<Uevent> next_uevent(int socket);
std::optional<Uevent> parse_uevent(std::string_view message);

}  // namespace lxmgr::sys
