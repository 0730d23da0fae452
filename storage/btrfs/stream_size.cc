#include "storage/btrfs/stream_size.h"

namespace lxmgr::storage {
namespace {

constexpr std::uint64_t kCommandBytes = 10, kAttributeBytes = 4, kNumberBytes = kAttributeBytes + 8;
/// Of content in one write command: max_send_read_size() of fs/btrfs/send.c, for version 1.
constexpr std::uint64_t kWriteBytes = std::uint64_t{48} << 10;

}  // namespace

Result<> StreamSize::add(const StreamCommand& command) {
    if (command.kind != StreamCommandKind::update_extent) return {};
    LX_TRY_AS(const std::uint64_t size, command.number(StreamAttribute::size));
    LX_TRY_AS(const auto path, command.bytes(StreamAttribute::path));
    const std::uint64_t place = kCommandBytes + kAttributeBytes + path.size() + kNumberBytes;  // both have it
    const std::uint64_t writes = (size + kWriteBytes - 1) / kWriteBytes;
    more_ += writes * (place + kAttributeBytes) + size - (place + kNumberBytes);
    return {};
}

}  // namespace lxmgr::storage
