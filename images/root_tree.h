#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::images {

/// A freshly installed root file system in a directory. Paths are absolute inside it and resolved as its own
/// root would (openat2(2) RESOLVE_IN_ROOT, Linux 5.6), so that its absolute symlinks never lead to the host's
/// files.
class RootTree {
public:
    static Result<RootTree> open(const std::string& directory);
    /// Replaces the file (a symlink, too) by a new one, root's, with missing parents (0755).
    Result<> write(const std::string& path, std::string_view content, mode_t mode = 0644) const;
    Result<> symlink(const std::string& target, const std::string& path) const;
    /// Removes a file or tree; an absent one is success.
    Result<> remove(const std::string& path) const;
    /// Removes everything in a directory; an absent one is success.
    Result<> empty(const std::string& path) const;
    /// Removes all but directories from a tree; an absent one is success.
    Result<> empty_of_files(const std::string& path) const;
    /// Removes the plain files of a directory whose names begin and end so.
    Result<> remove_files(const std::string& directory, std::string_view prefix,
                          std::string_view suffix) const;
    bool exists(const std::string& path) const;
    const std::string& directory() const { return directory_; }

private:
    RootTree(UniqueFd fd, std::string directory) : fd_(std::move(fd)), directory_(std::move(directory)) {}
    Result<UniqueFd> open_directory(const std::string& path) const;
    Result<UniqueFd> make_directories(const std::string& path) const;
    Result<std::vector<std::string>> list(int fd, const std::string& path) const;
    UniqueFd fd_;
    std::string directory_;
};

}  // namespace lxmgr::images
