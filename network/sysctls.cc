#include "network/sysctls.h"

#include <dirent.h>
#include <fmt/format.h>

#include <memory>
#include <vector>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::network {
namespace {

constexpr const char* kIpv6Conf = "/proc/sys/net/ipv6/conf";

/// Written only where it differs: /proc/sys may be read-only where the values are right already.
Result<> set(const std::string& path, const std::string& value) {
    LX_TRY_AS(const std::string held, read_file(path, 4096));
    if (trim(held) == value) return {};
    return write_existing(path, value);
}

std::vector<std::string> interfaces() {
    std::vector<std::string> out;
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(kIpv6Conf), ::closedir);
    while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr) {
        const std::string_view name = entry->d_name;
        // "default" is for interfaces yet to come, which include ends of guests' links: those must not
        // listen.
        if (name != "." && name != ".." && name != "all" && name != "default") out.emplace_back(name);
    }
    return out;
}

}  // namespace

Result<> enable_ipv4_forwarding() { return set("/proc/sys/net/ipv4/ip_forward", "1"); }

Result<> enable_ipv6_forwarding() {
    const std::string all = fmt::format("{}/all/forwarding", kIpv6Conf);
    LX_TRY_AS(const std::string held, read_file(all, 4096));
    if (trim(held) == "1") return {};
    for (const auto& name : interfaces()) {
        const std::string path = fmt::format("{}/{}/accept_ra", kIpv6Conf, name);
        const auto accepts = read_file(path, 4096);
        if (!accepts || trim(*accepts) != "1") continue;  // an interface may go away meanwhile
        auto written = write_existing(path, "2");
        if (!written && path_exists(path)) return written;
    }
    return write_existing(all, "1");
}

Result<> route_loopback(const std::string& bridge) {
    return set(fmt::format("/proc/sys/net/ipv4/conf/{}/route_localnet", bridge), "1");
}

Result<> harden_ipv6(const std::string& interface) {
    if (!path_exists(kIpv6Conf)) return {};
    for (const char* key : {"accept_ra", "autoconf", "accept_dad"}) {
        LX_TRY(set(fmt::format("{}/{}/{}", kIpv6Conf, interface, key), "0"));
    }
    return {};
}

}  // namespace lxmgr::network
