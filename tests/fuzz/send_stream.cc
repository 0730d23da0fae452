#include "storage/btrfs/send_stream.h"

#include <cstdint>
#include <cstring>
#include <string>

/// A backup's stream: any bytes end in commands or an error. Their sums are made right first, or nothing
/// would get behind them.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace lxmgr::storage;
    std::string bytes(reinterpret_cast<const char*>(data), size);
    constexpr std::size_t kPreamble = 17, kHeader = 10, kCrcAt = 6;
    for (std::size_t at = kPreamble; at + kHeader <= bytes.size();) {
        std::uint32_t length = 0;
        std::memcpy(&length, bytes.data() + at, sizeof length);
        if (length > bytes.size() - at - kHeader) break;
        std::memset(bytes.data() + at + kCrcAt, 0, 4);
        const std::uint32_t crc = stream_crc(std::string_view(bytes).substr(at, kHeader + length));
        std::memcpy(bytes.data() + at + kCrcAt, &crc, sizeof crc);
        at += kHeader + length;
    }
    SendStream stream([](const StreamCommand& command) -> lxmgr::Result<> {
        for (std::uint16_t i = 1; i <= static_cast<std::uint16_t>(StreamAttribute::clone_size); ++i) {
            const auto attribute = static_cast<StreamAttribute>(i);
            (void)command.number(attribute);
            (void)command.uuid(attribute);
            (void)command.time(attribute);
            const auto path = command.path(attribute);
            const bool leads_out = path && (path->starts_with('/') || ("/" + *path + "/").contains("/../"));
            if (leads_out) __builtin_trap();
        }
        return {};
    });
    const std::size_t half = bytes.size() / 2;
    if (!stream.feed(std::string_view(bytes).substr(0, half))) return 0;
    if (!stream.feed(std::string_view(bytes).substr(half))) return 0;
    (void)stream.finish();
    return 0;
}
