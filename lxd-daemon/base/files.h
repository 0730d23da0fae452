#pragma once
#include <sys/types.h>

#include <string>
#include <string_view>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

/// Files that belong to the daemon (its state directory, /proc, /sys). Never for paths that an instance can
/// influence: those go through sys/ (openat2 beneath a descriptor).
namespace lxmgr {

/// Whole content. Errors: `not_found` when it is absent, `too_large` above the limit.
Result<std::string> read_file(const std::string& path, std::size_t max_bytes = std::size_t{16} << 20);
/// One write(2) of the whole text to an existing file, as /proc and /sys want it; never creates.
Result<> write_existing(const std::string& path, std::string_view text);
/// Replaces the file by a durable new one: temporary file in the same directory, fsync, rename, fsync of the
/// directory.
Result<> write_file_atomic(const std::string& path, std::string_view content, mode_t mode = 0600);
/// mkdir with exactly this mode (umask does not count); an existing directory is success.
Result<> make_directory(const std::string& path, mode_t mode = 0700);
/// make_directory() for the path and every missing parent (parents get 0711).
Result<> make_directories(const std::string& path, mode_t mode = 0700);
/// Removes a tree that the daemon owns: never follows symlinks, crosses no mount. An absent path is success.
Result<> remove_tree(const std::string& path);
/// fsync of a directory, so that a rename or creation in it is durable.
Result<> sync_directory(const std::string& path);
bool path_exists(const std::string& path);

}  // namespace lxmgr
