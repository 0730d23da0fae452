#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lxd-daemon/base/result.h"

/// The wire format of Protocol Buffers (protobuf.dev, "Encoding"), as far as migration messages use it.
namespace lxmgr::migration {

struct ProtoField {
    std::uint32_t number = 0;
    std::uint64_t value = 0;  ///< of a varint
    std::string_view bytes;   ///< of what has a length: text, a message
    bool has_bytes = false;
};

/// Reads the fields of one message, in their order. The text must outlive it.
class ProtoReader {
public:
    explicit ProtoReader(std::string_view message) : rest_(message) {}
    /// nullopt: that was all. Fields of fixed size and groups are left out. Errors: `bad_request`.
    Result<std::optional<ProtoField>> next();

private:
    Result<std::uint64_t> varint();
    Result<std::string_view> take(std::uint64_t size);
    std::string_view rest_;
};

class ProtoWriter {
public:
    ProtoWriter& number(std::uint32_t field, std::uint64_t value);
    /// int64: a negative number takes ten bytes.
    ProtoWriter& number(std::uint32_t field, std::int64_t value) {
        return number(field, static_cast<std::uint64_t>(value));
    }
    ProtoWriter& flag(std::uint32_t field, bool value) { return number(field, std::uint64_t{value}); }
    ProtoWriter& bytes(std::uint32_t field, std::string_view value);
    std::string take() { return std::move(out_); }

private:
    void varint(std::uint64_t value);
    std::string out_;
};

}  // namespace lxmgr::migration
