#pragma once
#include <sys/types.h>

#include <string>
#include <string_view>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

/// Writing what an instance sends below a local directory. The instance is not trusted: its names cannot
/// leave the directory, its symbolic links are never followed, its setuid bits are dropped (HAZARDS: client
/// pull).
namespace lxmgr::cli {

/// Errors: `bad_request` for a name that is empty, ".", ".." or holds '/' or a zero byte.
Result<> check_entry_name(std::string_view name);

/// Permission bits that a pulled file keeps: no setuid, setgid or sticky bit.
constexpr mode_t pulled_mode(mode_t mode) { return mode & 0777; }

/// Opens a directory that the user named; links in it are the user's own and are followed.
Result<UniqueFd> open_user_directory(const std::string& path);
/// Opens a directory entry, creating it when it is missing. Never through a link.
Result<UniqueFd> enter_directory(int parent, const std::string& name, mode_t mode);
/// Opens an entry for writing from its start. An existing one is replaced only if it is a regular file.
Result<UniqueFd> create_file(int parent, const std::string& name, mode_t mode);
/// Makes a symbolic link with this text; an existing link (nothing else) is replaced.
Result<> create_link(int parent, const std::string& name, const std::string& target);

}  // namespace lxmgr::cli
