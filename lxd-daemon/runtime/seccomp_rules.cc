#include "lxd-daemon/runtime/seccomp_rules.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::runtime {
namespace {

std::optional<std::uint64_t> parse_number(const std::string& text) {
    char* end = nullptr;
    errno = 0;
    const bool digit = !text.empty() && text[0] >= '0' && text[0] <= '9';
    const std::uint64_t value = std::strtoull(text.c_str(), &end, 0);
    if (!digit || end != text.c_str() + text.size() || errno != 0) return std::nullopt;
    return value;
}

std::optional<scmp_compare> parse_operator(std::string_view text) {
    struct Operator {
        std::string_view name, sign;
        scmp_compare value;
    };
    constexpr Operator kOperators[] = {{"SCMP_CMP_NE", "!=", SCMP_CMP_NE},
                                       {"SCMP_CMP_LT", "<", SCMP_CMP_LT},
                                       {"SCMP_CMP_LE", "<=", SCMP_CMP_LE},
                                       {"SCMP_CMP_EQ", "==", SCMP_CMP_EQ},
                                       {"SCMP_CMP_GE", ">=", SCMP_CMP_GE},
                                       {"SCMP_CMP_GT", ">", SCMP_CMP_GT},
                                       {"SCMP_CMP_MASKED_EQ", "&=", SCMP_CMP_MASKED_EQ}};
    for (const Operator& one : kOperators) {
        if (text == one.name || text == one.sign) return one.value;
    }
    return std::nullopt;
}

/// INDEX,VALUE,OPERATOR or INDEX,VALUE,SCMP_CMP_MASKED_EQ,MASK
std::optional<scmp_arg_cmp> parse_argument(std::string_view text) {
    const auto parts = split(text, ',');
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

/// "[...][...]": one after the other, with or without blanks between.
bool add_arguments(std::string_view word, SyscallRule& rule) {
    while (!word.empty()) {
        const auto end = word.find(']');
        if (word.front() != '[' || end == std::string_view::npos || rule.arguments.size() == 6) return false;
        const auto argument = parse_argument(word.substr(1, end - 1));
        if (!argument) return false;
        rule.arguments.push_back(*argument);
        word.remove_prefix(end + 1);
    }
    return true;
}

}  // namespace

std::vector<std::uint32_t> other_tables() {
#if defined(__x86_64__)
    return {SCMP_ARCH_X86, SCMP_ARCH_X32};
#elif defined(__aarch64__)
    return {SCMP_ARCH_ARM};
#else
#error "the system call tables of this machine are not known here"
#endif
}

std::vector<std::string> words_of(std::string_view line) {
    std::vector<std::string> words;
    for (const std::string& word : split(line, ' '))
        if (!trim(word).empty()) words.emplace_back(trim(word));
    return words;
}

std::optional<SyscallRule> parse_rule(const std::vector<std::string>& words, std::size_t at,
                                      std::uint32_t usual_action) {
    constexpr std::uint64_t kMaxErrno = 4095;
    SyscallRule rule{usual_action, {}};
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
    for (; at < words.size(); ++at)
        if (!add_arguments(words[at], rule)) return std::nullopt;
    return rule;
}

int add_rule(void* context, int number, const SyscallRule& rule) {
    const int rc = seccomp_rule_add_array(
        context, rule.action, number, static_cast<unsigned>(rule.arguments.size()), rule.arguments.data());
    return rc == -EACCES || rc == -EEXIST ? 0 : rc;
}

std::unexpected<Error> filter_failed(int negative_errno, std::string_view what) {
    errno = -negative_errno;
    return fail_errno("Compiling the seccomp filter", what);
}

Result<std::string> export_program(void* context) {
    // Binary tree; an older library goes without.
    seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    const UniqueFd file(::memfd_create("seccomp", MFD_CLOEXEC));
    if (!file) return fail_errno("memfd_create", "for seccomp");
    if (const int rc = seccomp_export_bpf(context, file.get()); rc != 0) return filter_failed(rc, "(export)");
    std::string program(static_cast<std::size_t>(::lseek(file.get(), 0, SEEK_END)), '\0');
    if (::pread(file.get(), program.data(), program.size(), 0) != static_cast<ssize_t>(program.size()))
        return fail_errno("Reading", "the seccomp filter");
    return program;
}

}  // namespace lxmgr::runtime
