#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "lxd-daemon/base/result.h"

/// The format of btrfs-send(8), version 1 (linux/fs/btrfs/send.h, and "Send stream format" of btrfs' own
/// documentation), which the kernel writes and nobody has to be believed about.
namespace lxmgr::storage {

enum class StreamCommandKind : std::uint16_t {
    subvolume = 1,
    snapshot,
    make_file,
    make_directory,
    make_node,
    make_fifo,
    make_socket,
    symlink,
    rename,
    link,
    unlink,
    remove_directory,
    set_xattr,
    remove_xattr,
    write,
    clone,
    truncate,
    chmod,
    chown,
    utimes,
    end,
    update_extent,
};
enum class StreamAttribute : std::uint16_t {
    uuid = 1,
    transaction,
    inode,
    size,
    mode,
    uid,
    gid,
    device,
    changed,
    modified,
    accessed,
    made,
    xattr_name,
    xattr_data,
    path,
    path_to,
    path_link,
    offset,
    data,
    clone_uuid,
    clone_transaction,
    clone_path,
    clone_offset,
    clone_size,
};

using Uuid = std::array<std::uint8_t, 16>;
struct StreamTime {
    std::int64_t seconds = 0;
    std::uint32_t nanoseconds = 0;
};

/// One command and its attributes, which live as long as the call that gives it. Errors of all: `bad_request`
/// for an attribute that is not there or not of its form.
class StreamCommand {
public:
    StreamCommandKind kind{};
    Result<std::uint64_t> number(StreamAttribute attribute) const;
    Result<Uuid> uuid(StreamAttribute attribute) const;
    Result<StreamTime> time(StreamAttribute attribute) const;
    /// Empty ones too.
    Result<std::string_view> bytes(StreamAttribute attribute) const;
    /// In form, from the subvolume's root: without "..", ".", empty parts and NUL. Empty: that root itself.
    Result<std::string> path(StreamAttribute attribute) const;

private:
    friend class SendStream;
    std::array<std::string_view, 25> attributes_;
    std::uint32_t there_ = 0;
};

/// Takes a stream in pieces and gives its commands in their order, `end` too; nothing may be behind that.
class SendStream {
public:
    using Handler = std::function<Result<>(const StreamCommand& command)>;
    explicit SendStream(Handler handler) : handler_(std::move(handler)) {}
    /// Errors: `bad_request` for what is malformed; the handler's. After one, the stream is not to be used.
    Result<> feed(std::string_view bytes);
    /// Errors: `bad_request` when the stream was cut off.
    Result<> finish() const;

private:
    Result<std::size_t> take(std::string_view bytes);
    Result<> take_command(std::string_view header, std::string_view body);
    Handler handler_;
    std::string rest_;
    bool begun_ = false, ended_ = false;
};

/// Of a whole command with its field of the sum zeroed: CRC-32C that begins with 0.
std::uint32_t stream_crc(std::string_view bytes, std::uint32_t crc = 0);

}  // namespace lxmgr::storage
