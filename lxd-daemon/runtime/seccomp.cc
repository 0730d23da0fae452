#include "lxd-daemon/runtime/seccomp.h"

#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/btrfs.h>
#include <seccomp.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cstdint>
#include <vector>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/runtime/seccomp_rules.h"

namespace lxmgr::runtime {
namespace {

Result<> add_other_tables(scmp_filter_ctx context) {
    for (const std::uint32_t table : other_tables()) {
        if (const int rc = seccomp_arch_add(context, table); rc != 0 && rc != -EEXIST)
            return filter_failed(rc, "(tables)");
    }
    return {};
}

std::unexpected<Error> bad_line(std::string_view key, std::string_view line, std::string_view why) {
    return fail(Status::bad_request, fmt::format("Invalid line '{}' of '{}': {}", line, key, why));
}

Result<> add_list(scmp_filter_ctx context, std::string_view key, const std::string& list,
                  std::uint32_t usual_action) {
    for (const std::string& line : split(list, '\n')) {
        const auto words = words_of(line);
        if (words.empty() || words[0].starts_with('#')) continue;
        const int number = seccomp_syscall_resolve_name(words[0].c_str());
        if (number == __NR_SCMP_ERROR) return bad_line(key, line, "there is no such system call");
        const auto rule = parse_rule(words, 1, usual_action);
        if (!rule)
            return bad_line(key, line,
                            "after the name may stand errno N, kill, trap or allow, and arguments");
        if (add_rule(context, number, *rule) != 0)
            return bad_line(key, line, "it contradicts another line or cannot be compiled");
    }
    return {};
}

Result<> add_default(scmp_filter_ctx context, bool privileged) {
    for (const char* name :
         {"kexec_load", "open_by_handle_at", "init_module", "finit_module", "delete_module"}) {
        const int number = seccomp_syscall_resolve_name(name);
        if (const int rc = seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), number, 0); rc != 0)
            return filter_failed(rc, name);
    }
    const scmp_arg_cmp forced = SCMP_A1(SCMP_CMP_MASKED_EQ, MNT_FORCE, MNT_FORCE);
    if (const int rc = seccomp_rule_add(context, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(umount2), 1, forced);
        rc != 0)
        return filter_failed(rc, "umount2");
    if (!privileged) return {};
    if (const int rc = seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(bpf), 0); rc != 0)
        return filter_failed(rc, "bpf");
    return {};
}

/// What programs ask for that know no btrfs gives them: then they make a directory.
Result<> deny_subvolumes(scmp_filter_ctx context) {
    for (const std::uint64_t request : {BTRFS_IOC_SUBVOL_CREATE, BTRFS_IOC_SUBVOL_CREATE_V2,
                                        BTRFS_IOC_SNAP_CREATE, BTRFS_IOC_SNAP_CREATE_V2}) {
        // The kernel looks at 32 bits of it.
        const scmp_arg_cmp asked = SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffU, request);
        if (const int rc = seccomp_rule_add(context, SCMP_ACT_ERRNO(EOPNOTSUPP), SCMP_SYS(ioctl), 1, asked);
            rc != 0)
            return filter_failed(rc, "ioctl");
    }
    return {};
}

}  // namespace

Result<std::string> compile_seccomp(const SyscallPolicy& policy, bool privileged) {
    if (!policy.raw.empty()) {
        SyscallPolicy alone;
        alone.raw = policy.raw;
        alone.deny_subvolumes = policy.deny_subvolumes;
        if (policy != alone)
            return fail(Status::bad_request,
                        "raw.seccomp replaces security.syscalls.deny, deny_default, "
                        "deny_compat and allow: unset them");
        return compile_raw_seccomp(policy.raw, privileged);
    }
    const bool listed = !policy.allow.empty();
    if (listed && (!policy.deny.empty() || policy.deny_compat))
        return fail(Status::bad_request,
                    "security.syscalls.allow excludes security.syscalls.deny and deny_compat");
    const FilterContext context(seccomp_init(listed ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ALLOW));
    if (!context) return fail(Status::internal, "libseccomp cannot be initialised");
    seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_NNP, 0);
    if (policy.deny_compat) {
        seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    } else {
        LX_TRY(add_other_tables(context.get()));
    }
    if (!listed && policy.deny_default) LX_TRY(add_default(context.get(), privileged));
    if (!listed && policy.deny_subvolumes) LX_TRY(deny_subvolumes(context.get()));
    LX_TRY(add_list(context.get(), "security.syscalls.deny", policy.deny, SCMP_ACT_KILL_PROCESS));
    LX_TRY(add_list(context.get(), "security.syscalls.allow", policy.allow, SCMP_ACT_ALLOW));
    LX_TRY_AS(std::string program, export_program(context.get()));
    if (program.size() > kMaxFilterBytes)
        return fail(Status::bad_request, "security.syscalls.*: more lines than the kernel takes");
    return program;
}

Result<std::string> compile_intercepts(const Intercepts& intercepts, bool privileged) {
    if (privileged || intercepts == Intercepts{}) return std::string();
    const FilterContext context(seccomp_init(SCMP_ACT_ALLOW));
    if (!context) return fail(Status::internal, "libseccomp cannot be initialised");
    seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_NNP, 0);
    seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
    const auto notify = [&context](int number, std::vector<scmp_arg_cmp> arguments) -> Result<> {
        const int rc = seccomp_rule_add_array(context.get(), SCMP_ACT_NOTIFY, number,
                                              static_cast<unsigned>(arguments.size()), arguments.data());
        if (rc != 0) return filter_failed(rc, "(interception)");
        return {};
    };
    if (intercepts.mknod) {
        // Other kinds of files need no help.
        LX_TRY(notify(SCMP_SYS(mknod), {SCMP_A1(SCMP_CMP_MASKED_EQ, S_IFMT, S_IFCHR)}));
        LX_TRY(notify(SCMP_SYS(mknodat), {SCMP_A2(SCMP_CMP_MASKED_EQ, S_IFMT, S_IFCHR)}));
    }
    if (intercepts.mount) {
        constexpr std::uint64_t kNoNew =
            MS_REMOUNT | MS_BIND | MS_MOVE | MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE;
        LX_TRY(notify(SCMP_SYS(mount), {SCMP_A3(SCMP_CMP_MASKED_EQ, kNoNew, 0)}));
        // mount(8) and others fall back to mount(2) then, which says all at once.
        for (const int number : {SCMP_SYS(fsopen), SCMP_SYS(fspick)}) {
            if (const int rc = add_rule(context.get(), number, {SCMP_ACT_ERRNO(ENOSYS), {}}); rc != 0)
                return filter_failed(rc, "(interception)");
        }
    }
    if (intercepts.bpf_devices) {
        for (const bpf_cmd command : {BPF_PROG_LOAD, BPF_PROG_ATTACH, BPF_PROG_DETACH})
            LX_TRY(notify(SCMP_SYS(bpf), {SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(command))}));
    }
    if (intercepts.setxattr) LX_TRY(notify(SCMP_SYS(setxattr), {SCMP_A3(SCMP_CMP_EQ, 1)}));
    if (intercepts.scheduler) LX_TRY(notify(SCMP_SYS(sched_setscheduler), {}));
    if (intercepts.sysinfo) LX_TRY(notify(SCMP_SYS(sysinfo), {}));
    return export_program(context.get());
}

Result<> check_syscall_policy(const SyscallPolicy& policy) {
    if (policy == SyscallPolicy{}) return {};
    LX_TRY(compile_seccomp(policy, false));
    return {};
}

}  // namespace lxmgr::runtime
