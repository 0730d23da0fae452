#include <cstdint>
#include <string_view>

#include "lxd-daemon/runtime/seccomp_rules.h"

/// raw.seccomp: any bytes end in a program or an error that names a line.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view policy(reinterpret_cast<const char*>(data), size);
    for (const bool privileged : {false, true}) {
        const auto program = lxmgr::runtime::compile_raw_seccomp(policy, privileged);
        if (!program && !program.error().message.starts_with("raw.seccomp")) __builtin_trap();
    }
    return 0;
}
