#pragma once
#include <sys/stat.h>

#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/result.h"
#include "lxd-daemon/instances/sftp/packet.h"

namespace lxmgr::instances::sftp {

// Extensions that are announced: OpenSSH's file PROTOCOL, section 4.
inline constexpr std::string_view kPosixRename = "posix-rename@openssh.com";
inline constexpr std::string_view kHardLink = "hardlink@openssh.com";
inline constexpr std::string_view kStatFileSystem = "statvfs@openssh.com";
inline constexpr std::string_view kSync = "fsync@openssh.com";

std::string version_reply();
std::string status_reply(std::uint32_t id, Code code, std::string_view message);
std::string ok_reply(std::uint32_t id);
/// The code that says most of the error.
std::string error_reply(std::uint32_t id, const Error& error);
/// The attributes of a file, as they stand in a packet; ids are the instance's own.
std::string encode_attributes(const struct stat& st, std::uint32_t uid, std::uint32_t gid);
/// An entry of a reply to readdir: name, the same as `ls -ln` shows it, which clients print and parse,
/// attributes.
std::string encode_name(const std::string& name, const struct stat& st, std::uint32_t uid, std::uint32_t gid);
/// Without "." and "..", in no order.
Result<std::vector<std::string>> names_in(int directory, const std::string& path);

}  // namespace lxmgr::instances::sftp
