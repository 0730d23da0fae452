#include "images/entry.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/sys/harmless_devices.h"

namespace lxmgr::images {
namespace {

constexpr std::size_t kMaxPath = 4095;  // PATH_MAX with its NUL, so that one openat2(2) reaches every entry
constexpr std::size_t kMaxName = 255;   // NAME_MAX
constexpr std::uint64_t kMaxMemory = std::uint64_t{256} << 20;

struct KnownDevice {
    std::string_view path;
    unsigned major;
    unsigned minor;
};
constexpr std::array kKnownDevices{
    KnownDevice{"dev/null", 1, 3},     KnownDevice{"dev/zero", 1, 5},    KnownDevice{"dev/full", 1, 7},
    KnownDevice{"dev/random", 1, 8},   KnownDevice{"dev/urandom", 1, 9}, KnownDevice{"dev/kmsg", 1, 11},
    KnownDevice{"dev/tty", 5, 0},      KnownDevice{"dev/console", 5, 1}, KnownDevice{"dev/ptmx", 5, 2},
    KnownDevice{"dev/pts/ptmx", 5, 2}, KnownDevice{"dev/fuse", 10, 229}, KnownDevice{"dev/net/tun", 10, 200},
};
constexpr unsigned kVirtualConsoles = 64;  // dev/tty0 to dev/tty63, 4:0 to 4:63

bool is_known_device(const Entry& entry) {
    if (entry.type != EntryType::char_device) return false;
    const auto matches = [&](const KnownDevice& device) {
        return device.path == entry.path && device.major == entry.device_major &&
               device.minor == entry.device_minor;
    };
    if (std::ranges::any_of(kKnownDevices, matches)) return true;
    return entry.device_major == 4 && entry.device_minor < kVirtualConsoles &&
           entry.path == fmt::format("dev/tty{}", entry.device_minor);
}

/// True for one that is to be made.
Result<bool> admit_device(const Entry& entry) {
    if (is_known_device(entry)) return false;
    if (is_image_device(entry)) return true;
    return refuse(entry.path, fmt::format("is a {} device {}:{}, which an image must not hold",
                                          entry.type == EntryType::char_device ? "character" : "block",
                                          entry.device_major, entry.device_minor));
}

}  // namespace

bool is_image_device(const Entry& entry) {
    if (is_known_device(entry)) return true;
    return entry.type == EntryType::char_device &&
           sys::is_harmless_device(entry.device_major, entry.device_minor);
}

Result<std::string> entry_path(std::string_view name) {
    if (name.empty()) return refuse(name, "has no name");
    if (name.front() == '/') return refuse(name, "has an absolute name");
    if (name.contains('\0')) return refuse(name, "has a NUL byte in its name");
    std::string path;
    path.reserve(name.size());
    for (std::size_t at = 0; at <= name.size();) {
        const std::size_t end = std::min(name.find('/', at), name.size());
        const std::string_view part = name.substr(at, end - at);
        at = end + 1;
        if (part.empty() || part == ".") continue;
        if (part == "..") return refuse(name, "has '..' in its name");
        if (part.size() > kMaxName) return refuse(name, "has a name that is too long");
        if (!path.empty()) path += '/';
        path += part;
    }
    if (path.size() > kMaxPath) return refuse(name, "has a path that is too long");
    return path;
}

bool strip_prefix(std::string& path, std::string_view prefix) {
    if (prefix.empty()) return true;
    if (!path.starts_with(prefix)) return false;
    if (path.size() == prefix.size()) {
        path.clear();
        return true;
    }
    if (path[prefix.size()] != '/') return false;
    path.erase(0, prefix.size() + 1);
    return true;
}

std::string_view parent_path(std::string_view path) {
    const auto at = path.rfind('/');
    return at == std::string_view::npos ? std::string_view() : path.substr(0, at);
}

std::string_view base_name(std::string_view path) {
    const auto at = path.rfind('/');
    return at == std::string_view::npos ? path : path.substr(at + 1);
}

std::string shown(std::string_view path) {
    constexpr std::size_t kMaxShown = 200;
    std::string out(path.substr(0, kMaxShown));
    const bool text = is_utf8(out);
    for (char& c : out) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f || (!text && byte >= 0x80)) c = '?';
    }
    return fmt::format("'{}{}'", out, path.size() > kMaxShown ? "..." : "");
}

std::unexpected<Error> refuse(std::string_view path, std::string_view what) {
    return fail(Status::bad_request, fmt::format("Image entry {} {}", shown(path), what));
}

Result<bool> admit(const Entry& entry) {
    // The all-ones id means "leave it" to chown(2), so it is not one that a file can have.
    constexpr std::uint64_t kNoId = std::numeric_limits<std::uint32_t>::max();
    if (entry.uid >= kNoId || entry.gid >= kNoId) return refuse(entry.path, "has an owner out of range");
    if (entry.path.empty() && entry.type != EntryType::directory)
        return refuse(".", "is the root and no directory");
    switch (entry.type) {
        case EntryType::char_device:
        case EntryType::block_device:
            return admit_device(entry);
        case EntryType::socket:
            return false;
        case EntryType::symlink:
            if (entry.link_target.empty() || entry.link_target.size() > kMaxPath) {
                return refuse(entry.path, "is a symlink with an unusable target");
            }
            return true;
        case EntryType::hard_link:
            if (entry.link_target.empty()) return refuse(entry.path, "is a hard link to the root");
            return true;
        case EntryType::directory:
        case EntryType::file:
        case EntryType::fifo:
            return true;
    }
    return refuse(entry.path, "has an unknown type");
}

bool is_image_xattr(std::string_view name) {
    return name == "security.capability" || name == "system.posix_acl_access" ||
           name == "system.posix_acl_default" || (name.starts_with("user.") && name.size() > 5);
}

Result<> Budget::take_entry() {
    if (++entries_ > limits_.max_entries) {
        return fail(Status::bad_request,
                    fmt::format("The image has more than {} entries", limits_.max_entries));
    }
    return check_stop();
}

Result<> Budget::take_bytes(std::uint64_t bytes) {
    if (bytes_.fetch_add(bytes) + bytes > limits_.max_bytes) {
        return fail(Status::bad_request,
                    fmt::format("The image unpacks to more than {} bytes", limits_.max_bytes));
    }
    return check_stop();
}

Result<> Budget::take_memory(std::uint64_t bytes) {
    if (memory_bytes_.fetch_add(bytes) + bytes > kMaxMemory) {
        return fail(Status::bad_request,
                    "The image has more directories and links than can be kept track of");
    }
    return {};
}

Result<> Budget::check_file_size(std::string_view path, std::uint64_t size_bytes) const {
    if (size_bytes > limits_.max_bytes) {
        return refuse(path, fmt::format("is larger than {} bytes", limits_.max_bytes));
    }
    return {};
}

Result<> Budget::check_stream(std::uint64_t bytes) const {
    // Room for headers and padding, which are large beside the content of many small files.
    const std::uint64_t content = std::min(limits_.max_bytes, std::uint64_t{1} << 62);
    const std::uint64_t limit = content + content / 4 + (std::uint64_t{64} << 20);
    if (bytes > limit) {
        return fail(Status::bad_request, fmt::format("The image decompresses to more than {} bytes", limit));
    }
    return check_stop();
}

Result<> Budget::check_stop() const {
    if (stop_.stop_requested()) return fail(Status::unavailable, "Reading the image was cancelled");
    return {};
}

}  // namespace lxmgr::images
