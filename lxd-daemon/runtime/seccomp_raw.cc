#include <fmt/format.h>
#include <sys/mount.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/runtime/seccomp_rules.h"

namespace lxmgr::runtime {
namespace {

constexpr std::size_t kMaxPolicyBytes = std::size_t{64} * 1024;
constexpr std::size_t kMaxRules = 1000;

/// A section's name. 0 as table: this machine runs no such programs, so that its lines have no effect.
struct Section {
    std::string_view name;
    std::uint32_t table;
};
#if defined(__x86_64__)
constexpr Section kSections[] = {{"x86_64", SCMP_ARCH_X86_64},
                                 {"x86", SCMP_ARCH_X86},
                                 {"x32", SCMP_ARCH_X32},
                                 {"arm64", 0},
                                 {"arm", 0},
                                 {"aarch64", 0}};
constexpr std::uint32_t kNative = SCMP_ARCH_X86_64;
#else
constexpr Section kSections[] = {{"arm64", SCMP_ARCH_AARCH64},
                                 {"aarch64", SCMP_ARCH_AARCH64},
                                 {"arm", SCMP_ARCH_ARM},
                                 {"x86_64", 0},
                                 {"x86", 0},
                                 {"x32", 0}};
constexpr std::uint32_t kNative = SCMP_ARCH_AARCH64;
#endif
constexpr std::string_view kOthers[] = {"mips", "mips64", "mips64n32", "mipsel",  "mipsel64", "mipsel64n32",
                                        "ppc",  "ppc64",  "ppc64le",   "riscv64", "s390x",    "loongarch64"};

/// The filter of one table of system calls; merged in the end.
struct Table {
    std::uint32_t number;
    FilterContext context;
};

class PolicyCompiler {
public:
    explicit PolicyCompiler(bool privileged) : privileged_(privileged) {}

    Result<std::string> compile(std::string_view policy) {
        if (policy.size() > kMaxPolicyBytes || policy.find('\0') != std::string_view::npos)
            return fail(Status::bad_request, "raw.seccomp: must be text of at most 64 KiB");
        for (const std::string& line : split(policy, '\n')) {
            ++line_;
            const auto words = words_of(line.substr(0, line.find('#')));
            if (words.empty()) continue;
            ++statement_;
            LX_TRY(statement_ == 1 ? version(words) : statement_ == 2 ? type(words) : entry(words));
        }
        if (statement_ < 2) return bad("the version and then allowlist or denylist must stand first");
        return finish();
    }

private:
    [[nodiscard]] std::unexpected<Error> bad(std::string_view why) const {
        return fail(Status::bad_request, fmt::format("raw.seccomp: line {}: {}", std::max(line_, 1), why));
    }

    Result<> version(const std::vector<std::string>& words) const {
        if (words.size() == 1 && words[0] == "2") return {};
        return bad("must be the version of the policy, which is 2");
    }

    Result<> type(const std::vector<std::string>& words) {
        const bool listed = words[0] == "allowlist" || words[0] == "whitelist";
        const bool denied = words[0] == "denylist" || words[0] == "blacklist";
        if (!listed && !denied) return bad("must be allowlist or denylist");
        const auto rest = parse_rule(words, 1, listed ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ALLOW);
        const bool fits = rest && rest->arguments.empty() && (rest->action == SCMP_ACT_ALLOW) == denied;
        if (!fits)
            return bad(listed ? "after allowlist may stand what the other calls get: errno N, kill or trap"
                              : "after denylist may stand what the other calls get, which is allow");
        usual_ = listed ? SCMP_ACT_ALLOW : SCMP_ACT_KILL_PROCESS;
        lists_allowed_ = listed;
        auto numbers = other_tables();
        numbers.insert(numbers.begin(), kNative);
        for (const std::uint32_t number : numbers) {
            tables_.push_back({number, FilterContext(seccomp_init(rest->action))});
            void* const context = tables_.back().context.get();
            if (context == nullptr) return fail(Status::internal, "libseccomp cannot be initialised");
            seccomp_attr_set(context, SCMP_FLTATR_CTL_NNP, 0);
            if (number == kNative) continue;
            if (const int rc = seccomp_arch_add(context, number); rc != 0)
                return filter_failed(rc, "(tables)");
            if (const int rc = seccomp_arch_remove(context, kNative); rc != 0)
                return filter_failed(rc, "(tables)");
        }
        return {};
    }

    Result<> entry(const std::vector<std::string>& words) {
        if (words[0].starts_with('[')) return section(words);
        if (++rules_ > kMaxRules) return bad("this is more than 1000 rules");
        if (words[0] == "reject_force_umount") {
            if (words.size() != 1) return bad("nothing may stand after reject_force_umount");
            const scmp_arg_cmp forced = SCMP_A1(SCMP_CMP_MASKED_EQ, MNT_FORCE, MNT_FORCE);
            return add(SCMP_SYS(umount2), {SCMP_ACT_ERRNO(EACCES), {forced}});
        }
        const int number = seccomp_syscall_resolve_name(words[0].c_str());
        if (number == __NR_SCMP_ERROR) return bad(fmt::format("there is no system call '{}'", words[0]));
        if (words.size() > 1 && words[1] == "notify")
            return bad(
                "notify has nobody to answer here: security.syscalls.intercept.* say what is intercepted");
        const auto rule = parse_rule(words, 1, usual_);
        if (!rule)
            return bad(
                "after the name may stand errno N, kill, trap or allow, and arguments such as "
                "[0,1,SCMP_CMP_EQ]");
        names_bpf_ |= words[0] == "bpf";
        return add(number, *rule);
    }

    Result<> section(const std::vector<std::string>& words) {
        const std::string& word = words[0];
        if (words.size() != 1 || !word.ends_with(']')) return bad("nothing may stand after a section's name");
        const std::string_view name = std::string_view(word).substr(1, word.size() - 2);
        const auto known = std::ranges::find(kSections, name, &Section::name);
        section_ = known != std::end(kSections) ? known->table : 0;
        all_ = name == "all";
        if (all_ || known != std::end(kSections) || std::ranges::find(kOthers, name) != std::end(kOthers))
            return {};
        return bad(fmt::format("there is no section '{}': use all, x86_64, x86, x32, arm64, arm, ...", name));
    }

    /// libseccomp would keep the first of two that differ in nothing but the action.
    bool contradicts(std::uint32_t table, int number, const SyscallRule& rule) {
        std::string key = fmt::format("{}:{}", table, number);
        for (const scmp_arg_cmp& one : rule.arguments)
            key += fmt::format(":{},{},{},{}", one.arg, static_cast<int>(one.op), one.datum_a, one.datum_b);
        const auto [known, fresh] = actions_.emplace(std::move(key), rule.action);
        return !fresh && known->second != rule.action;
    }

    Result<> add(int number, const SyscallRule& rule) {
        for (const Table& table : tables_) {
            if (!all_ && table.number != section_) continue;
            if (contradicts(table.number, number, rule)) return bad("it contradicts another line");
            const int rc = add_rule(table.context.get(), number, rule);
            // -EDOM: this table has no such call.
            if (rc != 0 && rc != -EDOM) return bad("it contradicts another line or cannot be compiled");
        }
        return {};
    }

    Result<std::string> finish() {
        all_ = true;
        // It could take the filter of devices away, which is all that keeps a privileged container from them.
        if (privileged_ && !lists_allowed_ && !names_bpf_)
            LX_TRY(add(SCMP_SYS(bpf), {SCMP_ACT_ERRNO(EPERM), {}}));
        for (std::size_t i = 1; i < tables_.size(); ++i) {
            const int rc = seccomp_merge(tables_[0].context.get(), tables_[i].context.get());
            if (rc != 0) return filter_failed(rc, "(merge)");
            static_cast<void>(tables_[i].context.release());  // the first owns what was in it
        }
        LX_TRY_AS(std::string program, export_program(tables_[0].context.get()));
        if (program.size() <= kMaxFilterBytes) return program;
        return fail(Status::bad_request, "raw.seccomp: more rules than the kernel takes");
    }

    bool privileged_;
    int line_ = 0;
    int statement_ = 0;
    std::size_t rules_ = 0;
    std::uint32_t usual_ = 0, section_ = 0;
    bool all_ = true, lists_allowed_ = false, names_bpf_ = false;
    std::vector<Table> tables_;
    std::map<std::string, std::uint32_t> actions_;
};

}  // namespace

Result<std::string> compile_raw_seccomp(std::string_view policy, bool privileged) {
    return PolicyCompiler(privileged).compile(policy);
}

}  // namespace lxmgr::runtime
