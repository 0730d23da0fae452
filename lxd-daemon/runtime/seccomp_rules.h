#pragma once
#include <seccomp.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/result.h"

/// Private to the room: what the compilers of filters share.
namespace lxmgr::runtime {

struct ReleaseFilter {
    void operator()(void* context) const { seccomp_release(context); }
};
/// A scmp_filter_ctx that is released.
using FilterContext = std::unique_ptr<void, ReleaseFilter>;

/// The kernel's BPF_MAXINSNS, in bytes.
constexpr std::size_t kMaxFilterBytes = std::size_t{4096} * 8;

/// System call tables of this machine beside its own, as SCMP_ARCH_*: 32-bit and x32 calls have numbers of
/// their own, so that a filter for one table alone would be no filter.
std::vector<std::uint32_t> other_tables();

/// What a line says after the name.
struct SyscallRule {
    std::uint32_t action = 0;
    std::vector<scmp_arg_cmp> arguments;
};
std::vector<std::string> words_of(std::string_view line);
/// [errno N | kill | trap | allow] [[INDEX,VALUE,OPERATOR[,MASK]]...], from the word at `at` on. @return
/// nullopt when they are none of the syntax
std::optional<SyscallRule> parse_rule(const std::vector<std::string>& words, std::size_t at,
                                      std::uint32_t usual_action);
/// As libseccomp, negative errno; 0 also for what happens by default anyway or was said before.
int add_rule(void* context, int number, const SyscallRule& rule);

std::unexpected<Error> filter_failed(int negative_errno, std::string_view what);
/// The BPF program of a context.
Result<std::string> export_program(void* context);

/// raw.seccomp: a policy in the language of lxc.container.conf(5), version 2. Errors: `bad_request`
/// "raw.seccomp: line 3: ...".
Result<std::string> compile_raw_seccomp(std::string_view policy, bool privileged);

}  // namespace lxmgr::runtime
