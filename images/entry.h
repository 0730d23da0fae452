#pragma once
#include <sys/types.h>
#include <time.h>

#include <atomic>
#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "images/image.h"

/// One entry of a tarball or squashfs image, and the rules that every entry has to pass whatever it came
/// from.
namespace lxmgr::images {

enum class EntryType { directory, file, symlink, hard_link, fifo, socket, char_device, block_device };

/// The most that an extended attribute's value may have: XATTR_SIZE_MAX of linux/limits.h.
inline constexpr std::size_t kMaxXattrBytes = std::size_t{64} << 10;

struct Xattr {
    std::string name;
    std::string value;
};

struct Entry {
    std::string path;  ///< as entry_path() gives it; empty is the root directory itself
    EntryType type = EntryType::file;
    mode_t mode = 0;  ///< permission bits, 07777 at most
    std::uint64_t uid = 0;
    std::uint64_t gid = 0;
    timespec mtime{};
    std::uint64_t size_bytes = 0;  ///< apparent size of a file
    std::string link_target;       ///< symlink: verbatim; hard link: a path like `path`
    unsigned device_major = 0;
    unsigned device_minor = 0;
    std::vector<Xattr> xattrs;
};

/// Brings a name from an archive into the form that Entry::path has: "./a//b/" is "a/b", "." is "".
/// Errors: `bad_request` for absolute names, "..", over-long names and names with NUL bytes.
Result<std::string> entry_path(std::string_view name);
/// The path without a leading directory: ("rootfs/a", "rootfs") is "a". False when it is not below it.
bool strip_prefix(std::string& path, std::string_view prefix);
/// The directory part, "" for a name at the top.
std::string_view parent_path(std::string_view path);
std::string_view base_name(std::string_view path);
/// An entry's name for an error message: quoted, control bytes and what is not UTF-8 replaced, cut when long.
std::string shown(std::string_view path);
/// A `bad_request` about one entry: "Image entry 'a/b' <what>".
std::unexpected<Error> refuse(std::string_view path, std::string_view what);

/// True for what is unpacked, false for what is left out without harm: sockets, and the device nodes that a
/// container gets from its runtime (dev/null and the like with their right numbers,
/// Documentation/admin-guide/ devices.txt). Errors: `bad_request` for device nodes that are not harmless
/// (sys/harmless_devices.h), an owner that does not fit 32 bits, an unusable symlink target, and a root that
/// is no directory.
Result<bool> admit(const Entry& entry);
/// True for a device node that admit() does not refuse.
bool is_image_device(const Entry& entry);
/// The extended attributes that an image may set: file capabilities, POSIX ACLs and user.*. trusted.*
/// (overlay's own marks), security.selinux and the rest are the host's business and are left out.
bool is_image_xattr(std::string_view name);

/// What one unpacking may still use. Threads share it.
class Budget {
public:
    Budget(const UnpackLimits& limits, std::stop_token stop) : limits_(limits), stop_(std::move(stop)) {}
    /// Counts one entry. Errors: `bad_request` over the limit, `unavailable` when stop was requested.
    Result<> take_entry();
    /// Counts bytes of file content.
    Result<> take_bytes(std::uint64_t bytes);
    /// Counts memory that stays in use until the end, so that an archive of nothing but names stays
    /// affordable.
    Result<> take_memory(std::uint64_t bytes);
    /// Checks the apparent size of one file: no image needs one that is larger than all content together may
    /// be.
    Result<> check_file_size(std::string_view path, std::uint64_t size_bytes) const;
    /// Checks the running length of a decompressed stream (headers and padding included).
    Result<> check_stream(std::uint64_t bytes) const;
    Result<> check_stop() const;
    [[nodiscard]] const std::stop_token& stop() const { return stop_; }
    /// Other limits from here on, for what counts on. Nobody else may use it meanwhile.
    void renew(const UnpackLimits& limits, std::stop_token stop) {
        limits_ = limits;
        stop_ = std::move(stop);
    }

private:
    UnpackLimits limits_;
    std::stop_token stop_;
    std::atomic<std::uint64_t> entries_{0};
    std::atomic<std::uint64_t> bytes_{0};
    std::atomic<std::uint64_t> memory_bytes_{0};
};

}  // namespace lxmgr::images
