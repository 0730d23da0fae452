#include "lxd-daemon/instances/settings.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>

#include "lxd-daemon/instances/apparmor.h"
#include "lxd-daemon/instances/cloud_keys.h"
#include "lxd-daemon/instances/mount_rules.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

struct Resource {
    std::string_view name;  ///< after "limits.kernel."
    int number;
};
constexpr Resource kResources[] = {
    {"as", RLIMIT_AS},           {"core", RLIMIT_CORE},     {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},       {"fsize", RLIMIT_FSIZE},   {"locks", RLIMIT_LOCKS},
    {"memlock", RLIMIT_MEMLOCK}, {"nice", RLIMIT_NICE},     {"nofile", RLIMIT_NOFILE},
    {"nproc", RLIMIT_NPROC},     {"rtprio", RLIMIT_RTPRIO}, {"sigpending", RLIMIT_SIGPENDING}};

Result<> add_kernel_limit(const std::string& key, std::string_view name, const std::string& value,
                          Settings& settings) {
    const auto resource = std::ranges::find(kResources, name, &Resource::name);
    if (resource == std::ranges::end(kResources)) return {};
    const auto pair = profiles::parse_kernel_limit(value);
    if (!pair) return std::unexpected(in(key, pair.error()));
    settings.kernel_limits.push_back({key, resource->number, pair->soft, pair->hard});
    return {};
}

}  // namespace

bool flag_of(const api::ConfigMap& expanded, const char* key, bool otherwise) {
    const auto found = expanded.find(key);
    return found == expanded.end() || found->second.empty() ? otherwise : profiles::parse_bool(found->second);
}

Result<Settings> settings_of(const api::ConfigMap& expanded) {
    constexpr std::string_view kKernel = "limits.kernel.";
    constexpr std::string_view kSysctl = "linux.sysctl.";
    Settings settings;
    for (const auto& [key, value] : expanded) {
        if (value.empty()) continue;
        if (key.starts_with(kKernel))
            LX_TRY(add_kernel_limit(key, key.substr(kKernel.size()), value, settings));
        if (!key.starts_with(kSysctl)) continue;
        LX_TRY_AS(const std::string path, profiles::sysctl_path(key.substr(kSysctl.size())));
        settings.sysctls.push_back({key, path, value});
    }
    LX_TRY(apparmor_rules(api::value_of(expanded, "raw.apparmor")));
    LX_TRY_AS(settings.raw, parse_raw_lxc(api::value_of(expanded, "raw.lxc")));
    settings.sysctls.insert(settings.sysctls.end(), settings.raw.sysctls.begin(), settings.raw.sysctls.end());
    settings.nesting = flag_of(expanded, "security.nesting");
    settings.syscalls.deny_default = flag_of(expanded, "security.syscalls.deny_default", true);
    settings.syscalls.deny_compat = flag_of(expanded, "security.syscalls.deny_compat");
    settings.syscalls.deny = api::value_of(expanded, "security.syscalls.deny");
    settings.syscalls.allow = api::value_of(expanded, "security.syscalls.allow");
    settings.syscalls.raw = api::value_of(expanded, "raw.seccomp");
    settings.intercepts.mknod = flag_of(expanded, "security.syscalls.intercept.mknod");
    settings.intercepts.setxattr = flag_of(expanded, "security.syscalls.intercept.setxattr");
    settings.intercepts.scheduler = flag_of(expanded, "security.syscalls.intercept.sched_setscheduler");
    settings.intercepts.bpf_devices = flag_of(expanded, "security.syscalls.intercept.bpf") &&
                                      flag_of(expanded, "security.syscalls.intercept.bpf.devices");
    settings.intercepts.mount = flag_of(expanded, "security.syscalls.intercept.mount");
    LX_TRY(mount_rules(expanded));
    settings.intercepts.sysinfo = flag_of(expanded, "security.syscalls.intercept.sysinfo");
    LX_TRY(runtime::check_syscall_policy(settings.syscalls));
    api::ConfigMap copy = expanded;
    LX_TRY(merge_ssh_keys(copy));
    return settings;
}

}  // namespace lxmgr::instances
