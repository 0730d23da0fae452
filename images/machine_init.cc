#include "images/machine_init.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <ranges>

namespace lxmgr::images {
namespace {

// What makes a small Debian a machine that one works on. Some were essential once and are not everywhere:
// since 2026 nothing else pulls in mount, without which systemd's own mount units fail.
constexpr std::array kMachinePackages{
    "iproute2", "iputils-ping", "netbase", "mount", "login",  "passwd",          "sudo",
    "procps",   "psmisc",       "less",    "nano",  "tzdata", "bash-completion", "ca-certificates"};
constexpr std::array kSystemdPackages{"systemd", "systemd-sysv", "dbus", "udev", "libpam-systemd"};
// udhcpc: the one DHCP client that ifupdown knows in every release from 11 on.
constexpr std::array kSysvinitPackages{"sysvinit-core", "initscripts", "ifupdown", "udhcpc"};
// Where systemd-resolved is no package of its own but a part of systemd.
constexpr std::array<std::string_view, 6> kResolvedInSystemd{"stretch", "buster", "bullseye",
                                                             "bionic",  "focal",  "jammy"};

constexpr std::array kInits{MachineInit{"systemd", kSystemdPackages, set_up_systemd},
                            MachineInit{"sysvinit", kSysvinitPackages, set_up_sysvinit}};

}  // namespace

std::span<const MachineInit> machine_inits() { return kInits; }

Result<const MachineInit*> find_machine_init(std::string_view name) {
    const auto* found = std::ranges::find(kInits, name, &MachineInit::name);
    if (found != kInits.end()) return found;
    return fail(Status::bad_request,
                fmt::format("'{}' is no init that images can have; these are: {}", name,
                            fmt::join(kInits | std::views::transform(&MachineInit::name), ", ")));
}

std::vector<std::string> machine_packages(const MachineInit& init, std::string_view suite) {
    std::vector<std::string> out(init.packages.begin(), init.packages.end());
    out.insert(out.end(), kMachinePackages.begin(), kMachinePackages.end());
    const bool own_package = std::ranges::find(kResolvedInSystemd, suite) == kResolvedInSystemd.end();
    if (init.name == "systemd" && own_package) out.emplace_back("systemd-resolved");
    return out;
}

}  // namespace lxmgr::images
