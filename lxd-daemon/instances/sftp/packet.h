#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// Packets of the SSH file transfer protocol, version 3 (draft-ietf-secsh-filexfer-02): a length, a type and
/// fields in network byte order.
namespace lxmgr::instances::sftp {

enum class Type : std::uint8_t {
    init = 1,
    version = 2,
    open = 3,
    close = 4,
    read = 5,
    write = 6,
    lstat = 7,
    fstat = 8,
    setstat = 9,
    fsetstat = 10,
    opendir = 11,
    readdir = 12,
    remove = 13,
    mkdir = 14,
    rmdir = 15,
    realpath = 16,
    stat = 17,
    rename = 18,
    readlink = 19,
    symlink = 20,
    status = 101,
    handle = 102,
    data = 103,
    name = 104,
    attrs = 105,
    extended = 200,
    extended_reply = 201,
};

enum class Code : std::uint32_t {
    ok = 0,
    eof = 1,
    no_such_file = 2,
    permission_denied = 3,
    failure = 4,
    bad_message = 5,
    op_unsupported = 8
};

/// What a request says of a file; absent fields were not given.
struct Attributes {
    std::optional<std::uint64_t> size;
    std::optional<std::uint32_t> uid, gid, mode;
    std::optional<std::uint32_t> accessed, modified;  ///< seconds since 1970
};

/// Reads the fields of one packet. What is not there reads as zero, and ok() tells.
class PacketReader {
public:
    explicit PacketReader(std::string_view packet) : left_(packet) {}
    std::uint8_t u8();
    std::uint32_t u32();
    std::uint64_t u64();
    std::string_view text();
    Attributes attributes();
    [[nodiscard]] bool ok() const { return ok_; }

private:
    std::uint64_t number(std::size_t bytes);
    std::string_view left_;
    bool ok_ = true;
};

class PacketWriter {
public:
    PacketWriter(Type type, std::uint32_t id) : bytes_(4, '\0') {
        u8(static_cast<std::uint8_t>(type));
        u32(id);
    }
    void u8(std::uint8_t value) { bytes_ += static_cast<char>(value); }
    void u32(std::uint32_t value);
    void u64(std::uint64_t value);
    void text(std::string_view value);
    void raw(std::string_view value) { bytes_ += value; }
    /// The packet with its length in front.
    std::string finish() &&;

private:
    std::string bytes_;
};

}  // namespace lxmgr::instances::sftp
