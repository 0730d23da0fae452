#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/sys/idmap.h"

/// Files inside an instance, reached through a descriptor of its root: every path resolves as the instance
/// itself would see it and can never lead out (openat2, RESOLVE_IN_ROOT). Blocking. Ids are the instance's
/// own.
namespace lxmgr::instances {

/// The root directory of an instance and the map its ids are shown through; an empty map: ids are its own
/// already.
struct InstanceRoot {
    UniqueFd fd;
    sys::IdMap idmap;
    std::shared_ptr<const UniqueFd>
        mount;  ///< kept mounted as long as this lives; null for a running instance
};

enum class FileType { file, directory, symlink };
const char* to_string(FileType type);

struct FileInfo {
    FileType type = FileType::file;
    std::uint32_t uid = 0, gid = 0;
    mode_t mode = 0;  ///< permission bits
    Time modified{};
    std::uint64_t size_bytes = 0;
};

struct OpenedFile {
    FileInfo info;
    UniqueFd fd;                       ///< of a regular file: readable, at its start
    std::string link_target;           ///< of a symlink, as it is stored
    std::vector<std::string> entries;  ///< of a directory, sorted
};

/// The last component is not followed: a symlink is shown as one. Errors: `not_found` "Not Found";
/// `bad_request` for what is neither file, directory nor symlink (opening devices and pipes has effects).
Result<OpenedFile> open_file(const InstanceRoot& root, const std::string& path);
/// The same without content.
Result<FileInfo> file_info(const InstanceRoot& root, const std::string& path);

/// Of what is made; what is absent is 0, 0 and 0644 (directories 0755).
struct Ownership {
    std::optional<std::uint32_t> uid, gid;
    std::optional<mode_t> mode;
};

/// Writes a whole file (or appends) from `source`, which is read from its offset to its end at constant
/// memory. Symlinks are followed inside the instance, as a program there would. A file that exists keeps its
/// owner and mode but for what `existing` gives it.
Result<> write_file(const InstanceRoot& root, const std::string& path, int source, bool append,
                    const Ownership& ownership, const Ownership& existing = {});
/// A file without a name in the directory where `path` would be: what is written to it needs no copy to
/// become `path`. Read-write. Invalid when `path` exists, or the file system or a stopped instance has no
/// such place.
UniqueFd unnamed_file(const InstanceRoot& root, const std::string& path, const Ownership& ownership);
/// Gives it its name. False: not possible (`path` exists by now, or the instance was started anew), the
/// content is to be written by write_file().
Result<bool> name_file(const InstanceRoot& root, const std::string& path, int file,
                       const Ownership& ownership);
/// As write_file() from memory, with the defaults of Ownership.
Result<> write_text(const InstanceRoot& root, const std::string& path, const std::string& text);
/// A directory that exists, or a symlink to one, is kept as it is but for what `existing` gives it.
Result<> make_directory(const InstanceRoot& root, const std::string& path, const Ownership& ownership,
                        const Ownership& existing = {});
/// Replaces an existing symlink; another existing object is an error.
Result<> make_symlink(const InstanceRoot& root, const std::string& path, const std::string& target,
                      const Ownership& ownership);
/// Removes a file, symlink or empty directory; with `recursive` a whole tree.
Result<> remove_path(const InstanceRoot& root, const std::string& path, bool recursive);

}  // namespace lxmgr::instances
