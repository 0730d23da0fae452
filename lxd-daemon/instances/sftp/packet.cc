#include "lxd-daemon/instances/sftp/packet.h"

namespace lxmgr::instances::sftp {
namespace {

constexpr std::uint32_t kSize = 1, kOwner = 2, kMode = 4, kTimes = 8, kExtended = 0x80000000;

void put_number(std::string& bytes, std::uint64_t value, int count) {
    for (int shift = 8 * (count - 1); shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
}

}  // namespace

std::uint64_t PacketReader::number(std::size_t bytes) {
    if (left_.size() < bytes) {
        ok_ = false;
        left_ = {};
        return 0;
    }
    std::uint64_t value = 0;
    for (const char c : left_.substr(0, bytes)) value = value << 8 | static_cast<unsigned char>(c);
    left_.remove_prefix(bytes);
    return value;
}

std::uint8_t PacketReader::u8() { return static_cast<std::uint8_t>(number(1)); }
std::uint32_t PacketReader::u32() { return static_cast<std::uint32_t>(number(4)); }
std::uint64_t PacketReader::u64() { return number(8); }

std::string_view PacketReader::text() {
    const std::size_t size = u32();
    if (size > left_.size()) {
        ok_ = false;
        left_ = {};
        return {};
    }
    const auto out = left_.substr(0, size);
    left_.remove_prefix(size);
    return out;
}

Attributes PacketReader::attributes() {
    Attributes out;
    const std::uint32_t flags = u32();
    if ((flags & kSize) != 0) out.size = u64();
    if ((flags & kOwner) != 0) {
        out.uid = u32();
        out.gid = u32();
    }
    if ((flags & kMode) != 0) out.mode = u32();
    if ((flags & kTimes) != 0) {
        out.accessed = u32();
        out.modified = u32();
    }
    if ((flags & kExtended) != 0) {
        for (std::uint32_t count = u32(); count > 0 && ok_; --count) {
            text();
            text();
        }
    }
    return out;
}

void PacketWriter::u32(std::uint32_t value) { put_number(bytes_, value, 4); }
void PacketWriter::u64(std::uint64_t value) { put_number(bytes_, value, 8); }
void PacketWriter::text(std::string_view value) {
    u32(static_cast<std::uint32_t>(value.size()));
    bytes_ += value;
}

std::string PacketWriter::finish() && {
    std::string length;
    put_number(length, bytes_.size() - 4, 4);
    bytes_.replace(0, 4, length);
    return std::move(bytes_);
}

}  // namespace lxmgr::instances::sftp
