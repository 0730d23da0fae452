#include "lxd-daemon/runtime/seccomp.h"

#include <fmt/format.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::runtime {
namespace {

struct Release {
    void operator()(void* context) const { seccomp_release(context); }
};

std::unexpected<Error> failed(int negative_errno, std::string_view what) {
    errno = -negative_errno;
    return fail_errno("Compiling the seccomp filter", what);
}

/// 32-bit and x32 calls have numbers of their own: a filter for one table alone would be no filter.
Result<> add_other_tables(scmp_filter_ctx context) {
#if defined(__x86_64__)
    constexpr std::uint32_t kTables[] = {SCMP_ARCH_X86, SCMP_ARCH_X32};
#elif defined(__aarch64__)
    constexpr std::uint32_t kTables[] = {SCMP_ARCH_ARM};
#else
#error "the system call tables of this machine are not known here"
#endif
    for (const std::uint32_t table : kTables) {
        if (const int rc = seccomp_arch_add(context, table); rc != 0 && rc != -EEXIST)
            return failed(rc, "(tables)");
    }
    return {};
}

/// One line of a list, as far as it is not the name.
struct Rule {
    std::uint32_t action = 0;
    std::vector<scmp_arg_cmp> arguments;
};

std::unexpected<Error> bad_line(std::string_view key, std::string_view line, std::string_view why) {
    return fail(Status::bad_request, fmt::format("Invalid line '{}' of '{}': {}", line, key, why));
}

std::optional<std::uint64_t> parse_number(const std::string& text) {
    char* end = nullptr;
    errno = 0;
    const std::uint64_t value = std::strtoull(text.c_str(), &end, 0);
    if (text.empty() || text[0] == '-' || *end != 0 || errno != 0) return std::nullopt;
    return value;
}

std::optional<scmp_compare> parse_operator(std::string_view text) {
    struct Operator {
        std::string_view name;
        scmp_compare value;
    };
    for (const Operator& one : {Operator{"SCMP_CMP_NE", SCMP_CMP_NE}, Operator{"SCMP_CMP_LT", SCMP_CMP_LT},
                                Operator{"SCMP_CMP_LE", SCMP_CMP_LE}, Operator{"SCMP_CMP_EQ", SCMP_CMP_EQ},
                                Operator{"SCMP_CMP_GE", SCMP_CMP_GE}, Operator{"SCMP_CMP_GT", SCMP_CMP_GT},
                                Operator{"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}}) {
        if (text == one.name) return one.value;
    }
    return std::nullopt;
}

/// [INDEX,VALUE,OPERATOR] or [INDEX,VALUE,SCMP_CMP_MASKED_EQ,MASK]
std::optional<scmp_arg_cmp> parse_argument(std::string_view text) {
    if (text.size() < 2 || text.front() != '[' || text.back() != ']') return std::nullopt;
    const auto parts = split(text.substr(1, text.size() - 2), ',');
    if (parts.size() != 3 && parts.size() != 4) return std::nullopt;
    const auto index = parse_number(parts[0]);
    const auto value = parse_number(parts[1]);
    const auto compare = parse_operator(parts[2]);
    const auto mask = parts.size() == 4 ? parse_number(parts[3]) : std::optional<std::uint64_t>(0);
    if (!index || *index > 5 || !value || !compare || !mask) return std::nullopt;
    if ((*compare == SCMP_CMP_MASKED_EQ) != (parts.size() == 4)) return std::nullopt;
    if (*compare == SCMP_CMP_MASKED_EQ)
        return scmp_arg_cmp{static_cast<unsigned>(*index), *compare, *mask, *value};
    return scmp_arg_cmp{static_cast<unsigned>(*index), *compare, *value, 0};
}

std::vector<std::string> words_of(std::string_view line) {
    std::vector<std::string> words;
    for (const std::string& word : split(line, ' '))
        if (!trim(word).empty()) words.emplace_back(trim(word));
    return words;
}

/// The words after the name. @return nullopt when they are none of the syntax
std::optional<Rule> parse_rule(const std::vector<std::string>& words, std::uint32_t usual_action) {
    constexpr std::uint64_t kMaxErrno = 4095;
    Rule rule{usual_action, {}};
    std::size_t at = 1;
    if (at < words.size() && words[at] == "errno") {
        const auto number = at + 1 < words.size() ? parse_number(words[at + 1]) : std::nullopt;
        if (!number || *number > kMaxErrno) return std::nullopt;
        rule.action = SCMP_ACT_ERRNO(static_cast<std::uint32_t>(*number));
        at += 2;
    } else if (at < words.size() && (words[at] == "kill" || words[at] == "trap" || words[at] == "allow")) {
        rule.action = words[at] == "kill"   ? SCMP_ACT_KILL_PROCESS
                      : words[at] == "trap" ? SCMP_ACT_TRAP
                                            : SCMP_ACT_ALLOW;
        ++at;
    }
    for (; at < words.size(); ++at) {
        const auto argument = parse_argument(words[at]);
        if (!argument || rule.arguments.size() == 6) return std::nullopt;
        rule.arguments.push_back(*argument);
    }
    return rule;
}

Result<> add_list(scmp_filter_ctx context, std::string_view key, const std::string& list,
                  std::uint32_t usual_action) {
    for (const std::string& line : split(list, '\n')) {
        const auto words = words_of(line);
        if (words.empty() || words[0].starts_with('#')) continue;
        const int number = seccomp_syscall_resolve_name(words[0].c_str());
        if (number == __NR_SCMP_ERROR) return bad_line(key, line, "there is no such system call");
        const auto rule = parse_rule(words, usual_action);
        if (!rule)
            return bad_line(key, line,
                            "after the name may stand errno N, kill, trap or allow, and arguments");
        const int rc =
            seccomp_rule_add_array(context, rule->action, number,
                                   static_cast<unsigned>(rule->arguments.size()), rule->arguments.data());
        // -EACCES: what happens by default anyway; -EEXIST: said before.
        if (rc != 0 && rc != -EACCES && rc != -EEXIST)
            return bad_line(key, line, "it contradicts another line or cannot be compiled");
    }
    return {};
}

Result<> add_default(scmp_filter_ctx context, bool privileged) {
    for (const char* name :
         {"kexec_load", "open_by_handle_at", "init_module", "finit_module", "delete_module"}) {
        const int number = seccomp_syscall_resolve_name(name);
        if (const int rc = seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), number, 0); rc != 0)
            return failed(rc, name);
    }
    const scmp_arg_cmp forced = SCMP_A1(SCMP_CMP_MASKED_EQ, MNT_FORCE, MNT_FORCE);
    if (const int rc = seccomp_rule_add(context, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(umount2), 1, forced);
        rc != 0)
        return failed(rc, "umount2");
    if (!privileged) return {};
    if (const int rc = seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(bpf), 0); rc != 0)
        return failed(rc, "bpf");
    return {};
}

Result<std::string> export_program(scmp_filter_ctx context) {
    // Binary tree; an older library goes without.
    seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    const UniqueFd file(::memfd_create("seccomp", MFD_CLOEXEC));
    if (!file) return fail_errno("memfd_create", "for seccomp");
    if (const int rc = seccomp_export_bpf(context, file.get()); rc != 0) return failed(rc, "(export)");
    std::string program(static_cast<std::size_t>(::lseek(file.get(), 0, SEEK_END)), '\0');
    if (::pread(file.get(), program.data(), program.size(), 0) != static_cast<ssize_t>(program.size()))
        return fail_errno("Reading", "the seccomp filter");
    return program;
}

}  // namespace

Result<std::string> compile_seccomp(const SyscallPolicy& policy, bool privileged) {
    constexpr std::size_t kMaxBytes = std::size_t{4096} * 8;  // the kernel's BPF_MAXINSNS
    const bool listed = !policy.allow.empty();
    if (listed && (!policy.deny.empty() || policy.deny_compat))
        return fail(Status::bad_request,
                    "security.syscalls.allow excludes security.syscalls.deny and deny_compat");
    const std::unique_ptr<void, Release> context(
        seccomp_init(listed ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ALLOW));
    if (!context) return fail(Status::internal, "libseccomp cannot be initialised");
    seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_NNP, 0);
    if (policy.deny_compat) {
        seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    } else {
        LX_TRY(add_other_tables(context.get()));
    }
    if (!listed && policy.deny_default) LX_TRY(add_default(context.get(), privileged));
    LX_TRY(add_list(context.get(), "security.syscalls.deny", policy.deny, SCMP_ACT_KILL_PROCESS));
    LX_TRY(add_list(context.get(), "security.syscalls.allow", policy.allow, SCMP_ACT_ALLOW));
    LX_TRY_AS(std::string program, export_program(context.get()));
    if (program.size() > kMaxBytes)
        return fail(Status::bad_request, "security.syscalls.*: more lines than the kernel takes");
    return program;
}

Result<std::string> compile_intercepts(const Intercepts& intercepts, bool privileged) {
    if (privileged || intercepts == Intercepts{}) return std::string();
    const std::unique_ptr<void, Release> context(seccomp_init(SCMP_ACT_ALLOW));
    if (!context) return fail(Status::internal, "libseccomp cannot be initialised");
    seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_NNP, 0);
    seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
    const auto notify = [&context](int number, std::vector<scmp_arg_cmp> arguments) -> Result<> {
        const int rc = seccomp_rule_add_array(context.get(), SCMP_ACT_NOTIFY, number,
                                              static_cast<unsigned>(arguments.size()), arguments.data());
        if (rc != 0) return failed(rc, "(interception)");
        return {};
    };
    if (intercepts.mknod) {
        // Other kinds of files need no help.
        LX_TRY(notify(SCMP_SYS(mknod), {SCMP_A1(SCMP_CMP_MASKED_EQ, S_IFMT, S_IFCHR)}));
        LX_TRY(notify(SCMP_SYS(mknodat), {SCMP_A2(SCMP_CMP_MASKED_EQ, S_IFMT, S_IFCHR)}));
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
