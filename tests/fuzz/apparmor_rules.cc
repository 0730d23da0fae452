#include <cstdint>
#include <string_view>

#include "lxd-daemon/instances/apparmor.h"

/// raw.apparmor: what is taken cannot end the profile that it is put into.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto rules = lxmgr::instances::apparmor_rules(text);
    if (!rules) {
        if (!rules.error().message.starts_with("raw.apparmor")) __builtin_trap();
        return 0;
    }
    int depth = 0;
    for (const char c : *rules) {
        if (c == '#') __builtin_trap();
        depth += c == '{' ? 1 : c == '}' ? -1 : 0;
        if (depth < 0) __builtin_trap();
    }
    if (depth != 0) __builtin_trap();
    return 0;
}
