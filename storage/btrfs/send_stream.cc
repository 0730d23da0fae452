#include "storage/btrfs/send_stream.h"

#include <endian.h>
#include <fmt/format.h>

#include <cstring>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::storage {
namespace {

constexpr std::string_view kStreamMagic("btrfs-stream\0", 13);
constexpr std::size_t kPreamble = 17, kCommandHeader = 10, kAttributeHeader = 4;
constexpr std::uint32_t kStreamVersion = 1;
constexpr std::uint32_t kMaxCommand = 64U << 10U;  // BTRFS_SEND_BUF_SIZE_V1
constexpr std::size_t kMaxStreamPath = 4096, kMaxStreamName = 255;
constexpr std::size_t kCrcAt = 6;

std::unexpected<Error> malformed(std::string_view what) {
    return fail(Status::bad_request, fmt::format("The stream of a btrfs volume {}", what));
}

template <typename T>
T little(std::string_view bytes, std::size_t at) {
    T out{};
    std::memcpy(&out, bytes.data() + at, sizeof out);
    if constexpr (sizeof out == 2) return le16toh(out);
    if constexpr (sizeof out == 4) return le32toh(out);
    if constexpr (sizeof out == 8) return le64toh(out);
}

using CrcTables = std::array<std::array<std::uint32_t, 256>, 8>;
constexpr CrcTables make_crc_tables() {
    CrcTables out{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t crc = byte;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0x82F63B78U : 0U);
        out[0][byte] = crc;
    }
    for (std::size_t table = 1; table < out.size(); ++table) {
        for (std::size_t byte = 0; byte < 256; ++byte)
            out[table][byte] = (out[table - 1][byte] >> 8U) ^ out[0][out[table - 1][byte] & 0xFFU];
    }
    return out;
}
constexpr CrcTables kCrc = make_crc_tables();

#ifdef __x86_64__
/// Of whole words, by the processor's own instruction: the sum is CRC-32C.
[[gnu::target("sse4.2")]] std::uint32_t crc_of_words(std::string_view bytes, std::uint32_t crc) {
    std::uint64_t sum = crc;
    for (std::size_t at = 0; at < bytes.size(); at += 8)
        sum = __builtin_ia32_crc32di(sum, little<std::uint64_t>(bytes, at));
    return static_cast<std::uint32_t>(sum);
}
#endif

}  // namespace

std::uint32_t stream_crc(std::string_view bytes, std::uint32_t crc) {
#ifdef __x86_64__
    static const bool built_in = __builtin_cpu_supports("sse4.2") != 0;
    if (built_in) {
        const std::size_t words = bytes.size() / 8 * 8;
        crc = crc_of_words(bytes.substr(0, words), crc);
        bytes.remove_prefix(words);
    }
#endif
    for (; bytes.size() >= 8; bytes.remove_prefix(8)) {
        const std::uint64_t word = little<std::uint64_t>(bytes, 0) ^ crc;
        crc = 0;
        for (unsigned i = 0; i < 8; ++i) crc ^= kCrc[7 - i][(word >> (8 * i)) & 0xFFU];
    }
    for (const char c : bytes) crc = (crc >> 8U) ^ kCrc[0][(crc ^ static_cast<unsigned char>(c)) & 0xFFU];
    return crc;
}

Result<std::string_view> StreamCommand::bytes(StreamAttribute attribute) const {
    const auto at = static_cast<std::size_t>(attribute);
    if (((there_ >> at) & 1U) == 0)
        return malformed(fmt::format("lacks attribute {} of a command {}", at, static_cast<unsigned>(kind)));
    return attributes_[at];
}

Result<std::uint64_t> StreamCommand::number(StreamAttribute attribute) const {
    LX_TRY_AS(const auto text, bytes(attribute));
    if (text.size() != 8) return malformed("has a number of another length than 8 bytes");
    return little<std::uint64_t>(text, 0);
}

Result<Uuid> StreamCommand::uuid(StreamAttribute attribute) const {
    LX_TRY_AS(const auto text, bytes(attribute));
    Uuid out{};
    if (text.size() != out.size()) return malformed("has a UUID of another length than 16 bytes");
    std::memcpy(out.data(), text.data(), out.size());
    return out;
}

Result<StreamTime> StreamCommand::time(StreamAttribute attribute) const {
    LX_TRY_AS(const auto text, bytes(attribute));
    if (text.size() != 12) return malformed("has a time of another length than 12 bytes");
    const StreamTime out{static_cast<std::int64_t>(little<std::uint64_t>(text, 0)),
                         little<std::uint32_t>(text, 8)};
    if (out.nanoseconds > 999'999'999) return malformed("has a time out of range");
    return out;
}

Result<std::string> StreamCommand::path(StreamAttribute attribute) const {
    LX_TRY_AS(const auto text, bytes(attribute));
    if (text.empty()) return std::string();
    if (text.size() > kMaxStreamPath || text.contains('\0')) return malformed("has an unusable path");
    for (const auto& part : split(std::string(text), '/')) {
        if (part.empty() || part == "." || part == ".." || part.size() > kMaxStreamName)
            return malformed("has a path that is not in form, or leads out");
    }
    return std::string(text);
}

Result<> SendStream::take_command(std::string_view header, std::string_view body) {
    const auto sum = little<std::uint32_t>(header, kCrcAt);
    std::uint32_t crc = stream_crc(header.substr(0, kCrcAt));
    crc = stream_crc(std::string_view("\0\0\0\0", 4), crc);
    if (stream_crc(body, crc) != sum) return malformed("is damaged: a command's checksum is wrong");
    StreamCommand command;
    const auto kind = little<std::uint16_t>(header, 4);
    if (kind < static_cast<unsigned>(StreamCommandKind::subvolume) ||
        kind > static_cast<unsigned>(StreamCommandKind::update_extent))
        return malformed(fmt::format("has a command {}, which version 1 has not", kind));
    command.kind = static_cast<StreamCommandKind>(kind);
    while (!body.empty()) {
        if (body.size() < kAttributeHeader) return malformed("has a command that ends within an attribute");
        const auto type = little<std::uint16_t>(body, 0), size = little<std::uint16_t>(body, 2);
        body.remove_prefix(kAttributeHeader);
        if (type == 0 || type >= command.attributes_.size() || size > body.size())
            return malformed("has an attribute that is unknown or too long");
        if (((command.there_ >> type) & 1U) != 0) return malformed("has an attribute twice in one command");
        command.attributes_[type] = body.substr(0, size);
        command.there_ |= 1U << type;
        body.remove_prefix(size);
    }
    ended_ = command.kind == StreamCommandKind::end;
    return handler_(command);
}

/// Takes what is whole of it, and says how much that was.
Result<std::size_t> SendStream::take(std::string_view bytes) {
    std::size_t at = 0;
    if (!begun_) {
        if (bytes.size() < kPreamble) return at;
        if (!bytes.starts_with(kStreamMagic)) return malformed("does not begin like one");
        const auto version = little<std::uint32_t>(bytes, kStreamMagic.size());
        if (version != kStreamVersion)
            return malformed(fmt::format("is of version {}: send one of version 1", version));
        begun_ = true;
        at = kPreamble;
    }
    while (bytes.size() - at >= kCommandHeader) {
        if (ended_) return malformed("goes on behind its end");
        const auto size = little<std::uint32_t>(bytes, at);
        if (size > kMaxCommand) return malformed("has a command that is too long");
        if (bytes.size() - at - kCommandHeader < size) break;
        LX_TRY(take_command(bytes.substr(at, kCommandHeader), bytes.substr(at + kCommandHeader, size)));
        at += kCommandHeader + size;
    }
    return at;
}

Result<> SendStream::feed(std::string_view bytes) {
    if (rest_.empty()) {
        LX_TRY_AS(const std::size_t taken, take(bytes));
        rest_ = bytes.substr(taken);
        return {};
    }
    rest_ += bytes;
    LX_TRY_AS(const std::size_t taken, take(rest_));
    rest_.erase(0, taken);
    return {};
}

Result<> SendStream::finish() const {
    if (!ended_) return malformed("is cut off");
    if (!rest_.empty()) return malformed("goes on behind its end");
    return {};
}

}  // namespace lxmgr::storage
