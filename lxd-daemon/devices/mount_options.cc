#include "lxd-daemon/devices/mount_options.h"

#include <fmt/format.h>
#include <sys/mount.h>

#include <algorithm>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::devices {
namespace {

struct Flag {
    std::string_view word;
    std::uint64_t set, cleared;
};
// mount(8), those that are of a mount and not of a file system.
constexpr Flag kFlags[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
};
constexpr std::string_view kOfTmpfs[] = {"size", "mode", "nr_inodes"};

bool is_plain_value(std::string_view value) {
    return !value.empty() && value.size() <= 32 && std::ranges::all_of(value, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '%';
    });
}

Result<> add_option(std::string_view option, bool tmpfs, MountOptions& out) {
    const auto flag = std::ranges::find(kFlags, option, &Flag::word);
    if (flag != std::end(kFlags)) {
        out.attributes = (out.attributes & ~flag->cleared) | flag->set;
        out.cleared = (out.cleared & ~flag->set) | flag->cleared;
        return {};
    }
    const auto equals = option.find('=');
    const std::string_view key = option.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? "" : option.substr(equals + 1);
    if (tmpfs && std::ranges::find(kOfTmpfs, key) != std::end(kOfTmpfs) && is_plain_value(value)) {
        out.of_tmpfs.emplace_back(key, value);
        return {};
    }
    return fail(
        Status::bad_request,
        fmt::format("raw.mount.options: '{}' is not allowed; allowed are ro, rw, nosuid, suid, nodev, "
                    "noexec, exec, noatime, relatime, strictatime, nodiratime, diratime, "
                    "nosymfollow{}",
                    option, tmpfs ? ", size=, mode=, nr_inodes=" : ""));
}

}  // namespace

Result<MountOptions> parse_mount_options(std::string_view text, bool tmpfs) {
    MountOptions out;
    if (text.empty()) return out;
    for (const auto& option : split(text, ',')) LX_TRY(add_option(trim(option), tmpfs, out));
    return out;
}

}  // namespace lxmgr::devices
