#include "lxd-daemon/migration/protobuf.h"

namespace lxmgr::migration {
namespace {

enum WireType : unsigned { varint_type = 0, fixed64_type = 1, length_type = 2, fixed32_type = 5 };

std::unexpected<Error> bad_message() {
    return fail(Status::bad_request,
                "The other server sent a message that is none of the migration protocol");
}

}  // namespace

Result<std::uint64_t> ProtoReader::varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (rest_.empty()) return bad_message();
        const auto byte = static_cast<unsigned char>(rest_.front());
        rest_.remove_prefix(1);
        value |= std::uint64_t{byte & 0x7fU} << shift;
        if ((byte & 0x80U) == 0) return value;
    }
    return bad_message();
}

Result<std::string_view> ProtoReader::take(std::uint64_t size) {
    if (size > rest_.size()) return bad_message();
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
}

Result<std::optional<ProtoField>> ProtoReader::next() {
    while (!rest_.empty()) {
        LX_TRY_AS(const std::uint64_t tag, varint());
        if (tag >> 3 == 0 || tag >> 32 != 0) return bad_message();
        ProtoField field{.number = static_cast<std::uint32_t>(tag >> 3)};
        switch (tag & 7U) {
            case varint_type: {
                LX_TRY_AS(field.value, varint());
                return field;
            }
            case length_type: {
                LX_TRY_AS(const std::uint64_t size, varint());
                LX_TRY_AS(field.bytes, take(size));
                field.has_bytes = true;
                return field;
            }
            case fixed64_type:
                LX_TRY(take(8));
                break;
            case fixed32_type:
                LX_TRY(take(4));
                break;
            default:
                return bad_message();
        }
    }
    return std::optional<ProtoField>{};
}

void ProtoWriter::varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_ += static_cast<char>(value | 0x80);
    out_ += static_cast<char>(value);
}

ProtoWriter& ProtoWriter::number(std::uint32_t field, std::uint64_t value) {
    varint(std::uint64_t{field} << 3 | varint_type);
    varint(value);
    return *this;
}

ProtoWriter& ProtoWriter::bytes(std::uint32_t field, std::string_view value) {
    varint(std::uint64_t{field} << 3 | length_type);
    varint(value.size());
    out_ += value;
    return *this;
}

}  // namespace lxmgr::migration
