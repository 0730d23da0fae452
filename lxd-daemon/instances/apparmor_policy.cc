#include "lxd-daemon/instances/apparmor_policy.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>

#include "images/sha256.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/spawn.h"

namespace lxmgr::instances {
namespace {

constexpr const char* kPolicyRoot = "/sys/kernel/security/apparmor";
constexpr std::size_t kKeptPolicies = 64;

/// Files by which the host itself is controlled or read. A guest's tree may have its /proc anywhere; its /sys
/// only where systemd puts that of a service, since "sys" is a directory of many a source tree, too.
constexpr const char* kDeniedFiles =
    "  deny /{,**/}proc/{sysrq-trigger,kcore,kmem,mem} rwklx,\n"
    "  deny /{,**/}proc/{acpi,scsi}/** wklx,\n"
    "  deny /{,run/systemd/*/}sys/firmware/** rwklx,\n"
    "  deny /{,run/systemd/*/}sys/fs/pstore/** rwklx,\n"
    "  deny /{,run/systemd/*/}sys/kernel/{config,debug,security,tracing}/** rwklx,\n"
    "  deny mount fstype=(configfs,debugfs,efivarfs,pstore,securityfs,tracefs),\n";

/// Without a user namespace the kernel lets root write these. Left are /proc/sys/net, fs/mqueue, user, and of
/// kernel what belongs to the UTS and IPC namespaces; of /sys cgroups and network interfaces.
constexpr const char* kDeniedToPrivileged =
    "  deny /{,**/}proc/sys/{abi,crypto,debug,dev,vm}/** wkl,\n"
    "  deny /{,**/}proc/sys/fs/{[^m],m[^q]}** wkl,\n"
    "  deny /{,**/}proc/sys/kernel/{[^dhmns],d[^o],h[^o],ho[^s],m[^s],n[^s],s[^eh],se[^m]}** wkl,\n"
    "  deny /{,run/systemd/*/}sys/{[^cdf],c[^l],d[^e]}** wkl,\n"
    "  deny /{,run/systemd/*/}sys/devices/{system,platform}/** wkl,\n"
    "  deny /{,run/systemd/*/}sys/fs/{[^c],c[^g]}** wkl,\n"
    "  deny mount fstype=bpf,\n";

/// A procfs of another name would escape the rules above; containers inside may mount theirs as they like.
constexpr const char* kDeniedWithoutNesting =
    "  deny mount fstype=proc -> /{,**}{[^c],[^o]c,[^r]oc,[^p]roc,[^/]proc}/,\n";

/// A profile's name stands once in what the parser makes of it, so another of the same length can take its
/// place.
std::string stand_in(const std::string& name) { return "lxmgr-" + std::string(name.size() - 6, 'x'); }

Result<std::string> digest(const std::string& text, const std::string& parser) {
    utsname kernel{};
    ::uname(&kernel);
    struct stat status{};
    ::stat(parser.c_str(), &status);
    LX_TRY_AS(auto hash, images::Sha256::open());
    LX_TRY(hash.add(fmt::format("{}\n{}\n{} {}\n{}", kernel.release, kernel.version, status.st_mtim.tv_sec,
                                status.st_size, text)));
    return hash.finish();
}

/// Kernels and parsers of the past leave theirs behind.
void drop_when_many(const std::string& directory) {
    DIR* const entries = ::opendir(directory.c_str());
    if (entries == nullptr) return;
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(entries))
        if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    ::closedir(entries);
    if (names.size() < kKeptPolicies) return;
    for (const auto& name : names) ::unlink((directory + "/" + name).c_str());
}

Result<std::string> compile(const std::string& parser, const std::string& text) {
    return run_checked({.argv = {parser, "--skip-kernel-load", "--skip-cache", "--stdout"}, .input = text});
}

}  // namespace

std::string apparmor_profile(const std::string& name, const AppArmorKind& kind, const std::string& rules) {
    // Rights that newer versions tell apart (user namespaces, io_uring) stay allowed by an older abi.
    const bool pinned = path_exists("/etc/apparmor.d/abi/3.0");
    return fmt::format(
        "{}profile \"{}\" flags=(attach_disconnected,mediate_deleted) {{\n"
        "  capability,\n  dbus,\n  file,\n  mount,\n  network,\n  pivot_root,\n  ptrace,\n  remount,\n"
        "  signal,\n  umount,\n  unix,\n{}{}{}{}}}\n",
        pinned ? "abi <abi/3.0>,\n" : "", name, kDeniedFiles, kind.privileged ? kDeniedToPrivileged : "",
        kind.privileged && !kind.nesting ? kDeniedWithoutNesting : "", rules);
}

bool host_has_apparmor() {
    const auto enabled = read_file("/sys/module/apparmor/parameters/enabled");
    return enabled && enabled->starts_with("Y") &&
           ::access(fmt::format("{}/.replace", kPolicyRoot).c_str(), W_OK) == 0;
}

std::string apparmor_parser() {
    for (const char* path : {"/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"})
        if (::access(path, X_OK) == 0) return path;
    return {};
}

Result<std::string> AppArmorPolicies::compiled(const std::string& text, bool afresh) {
    const std::string parser = apparmor_parser();
    LX_TRY_AS(const std::string name, digest(text, parser));
    const std::string path = directory_ + "/" + name;
    const std::scoped_lock lock(mutex_);
    if (!afresh)
        if (auto kept = read_file(path)) return kept;
    LX_TRY_AS(std::string policy, compile(parser, text));
    LX_TRY(lxmgr::make_directory(directory_, 0700));
    drop_when_many(directory_);
    LX_TRY(write_file_atomic(path, policy));
    return policy;
}

Result<> AppArmorPolicies::load(const std::string& name, const AppArmorKind& kind, const std::string& rules) {
    // Rules can speak of their profile's name by a variable, and are then compiled into more than its name.
    const bool own = rules.find('@') != std::string::npos;
    const std::string written = own ? name : stand_in(name);
    const std::string text = apparmor_profile(written, kind, rules);
    Result<> loaded;
    for (const bool afresh : {false, true}) {
        LX_TRY_AS(std::string policy, compiled(text, afresh));
        const auto at = policy.find(written);
        if (at == std::string::npos)
            return fail(Status::internal,
                        fmt::format("AppArmor profile '{}': compiled without a name", name));
        policy.replace(at, written.size(), name);
        loaded = write_existing(fmt::format("{}/.replace", kPolicyRoot), policy);
        if (loaded) break;
    }
    return loaded;
}

Result<> remove_apparmor_profile(const std::string& name) {
    auto removed = write_existing(fmt::format("{}/.remove", kPolicyRoot), name);
    if (!removed && removed.error().sys_errno == ENOENT) return {};
    return removed;
}

}  // namespace lxmgr::instances
