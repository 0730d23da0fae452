#include <cstdint>
#include <string_view>

#include "lxd-daemon/migration/messages.h"

/// What another server says: any bytes end in a value or an error, and what was read is written and read
/// again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace lxmgr::migration;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    (void)parse_verdict(text);
    const auto header = parse_header(text);
    if (!header) return 0;
    const auto again = parse_header(to_wire(*header));
    if (!again) __builtin_trap();
    return 0;
}
