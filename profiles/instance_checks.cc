#include <algorithm>
#include <cctype>
#include <string>

#include "lxd-daemon/base/strings.h"
#include "profiles/checks.h"
#include "profiles/fuse_programs.h"
#include "profiles/ssh_key.h"

namespace lxmgr::profiles::check {
namespace {

bool is_user_name(std::string_view name) {
    const auto good = [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.';
    };
    return !name.empty() && name.size() <= 32 && name.front() != '-' && std::ranges::all_of(name, good);
}

/// "gh:NAME" and the like, ssh-import-id(1).
bool is_import_id(std::string_view key) {
    return (key.starts_with("gh:") || key.starts_with("lp:") || key.starts_with("gl:")) &&
           is_user_name(key.substr(3));
}

/// "ssh-ed25519 AAAA... comment", sshd(8): no options before it.
bool is_public_key(const std::string& key) {
    const auto words = split(key, ' ');
    const auto is_base64 = [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '+' || c == '/' || c == '=';
    };
    const bool known = key.starts_with("ssh-") || key.starts_with("ecdsa-") || key.starts_with("sk-");
    return known && words.size() >= 2 && words[1].starts_with("AAAA") &&
           std::ranges::all_of(words[1], is_base64);
}

}  // namespace

Result<> ssh_key(std::string_view key, std::string_view value) {
    constexpr std::string_view kPrefix = "cloud-init.ssh-keys.";
    if (key.size() <= kPrefix.size()) return fail(Status::bad_request, "needs a name after the prefix");
    const auto parsed = parse_ssh_key(value);
    if (!parsed) return std::unexpected(parsed.error());
    return {};
}

Result<> oom_priority(std::string_view, std::string_view value) {
    if (const auto number = parse_int(value); number && *number >= -1000 && *number <= 1000) return {};
    return fail(Status::bad_request, "must be an integer between -1000 and 1000");
}

Result<> filesystem_list(std::string_view, std::string_view value) {
    // What is on one block device and names no other: btrfs and f2fs may, and a network's has none.
    constexpr std::string_view kNames[] = {"erofs", "exfat",    "ext2", "ext3", "ext4", "iso9660",
                                           "ntfs3", "squashfs", "udf",  "vfat", "xfs"};
    for (const std::string& name : split(value, ','))
        if (std::ranges::find(kNames, trim(name)) == std::end(kNames))
            return fail(
                Status::bad_request,
                "must be names of file systems with commas between: erofs, exfat, ext2, ext3, ext4, iso9660, "
                "ntfs3, squashfs, udf, vfat, xfs");
    return {};
}

Result<> fuse_programs(std::string_view, std::string_view value) {
    const auto parsed = parse_fuse_programs(value);
    if (!parsed) return std::unexpected(parsed.error());
    return {};
}

Result<> module_loading(std::string_view, std::string_view value) {
    if (value == "boot") return {};
    return fail(
        Status::bad_request,
        "must be boot: to load modules when the instance asks for them is not supported by this server");
}

}  // namespace lxmgr::profiles::check

namespace lxmgr::profiles {

Result<std::vector<FuseProgram>> parse_fuse_programs(std::string_view value) {
    const auto good = [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.';
    };
    const auto is_name = [&good](const std::string& name) {
        return !name.empty() && name.size() < 32 && name.front() != '-' && std::ranges::all_of(name, good);
    };
    std::vector<FuseProgram> out;
    for (const std::string& part : split(value, ',')) {
        const auto sides = split(trim(part), '=');
        if (sides.size() != 2 || !is_name(sides[0]) || !is_name(sides[1]))
            return fail(Status::bad_request,
                        "must be FILESYSTEM=PROGRAM such as ext4=fuse2fs, with commas between");
        out.push_back({sides[0], sides[1]});
    }
    return out;
}

Result<SshKey> parse_ssh_key(std::string_view value) {
    const auto colon = value.find(':');
    SshKey key;
    if (colon != std::string_view::npos) {
        key.user = value.substr(0, colon);
        key.key = value.substr(colon + 1);
        key.imported = check::is_import_id(key.key);
    }
    if (check::is_user_name(key.user) && !has_control_chars(key.key) &&
        (key.imported || check::is_public_key(key.key)))
        return key;
    return fail(Status::bad_request,
                "must be USER:KEY, where KEY is a public key such as 'ssh-ed25519 AAAA...' or whose to fetch "
                "such as gh:NAME");
}

}  // namespace lxmgr::profiles
