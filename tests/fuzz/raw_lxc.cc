#include "lxd-daemon/instances/raw_lxc.h"

#include <cstdint>
#include <string_view>

/// raw.lxc: any bytes end in settings or an error that names the key.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto raw = lxmgr::instances::parse_raw_lxc(text);
    if (!raw && !raw.error().message.starts_with("raw.lxc")) __builtin_trap();
    if (raw && raw->extras.dropped_capabilities >> 41 != 0) __builtin_trap();
    return 0;
}
