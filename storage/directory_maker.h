#pragma once
#include <string>
#include <vector>

#include "storage/tree/remove.h"

namespace lxmgr::storage {

/// How the directories of volumes come and go: plain ones, or what a file system has in their place.
class DirectoryMaker {
public:
    virtual ~DirectoryMaker() = default;
    /// Mode 0100.
    [[nodiscard]] virtual Result<> create(int parent_fd, const std::string& name) const = 0;
    /// As remove_tree_at().
    [[nodiscard]] virtual Result<std::vector<std::string>> remove(int parent_fd, const std::string& name,
                                                                  const Interrupted& interrupted) const = 0;
    /// Whether remove() is one step, and needs no room on a file system that is full.
    [[nodiscard]] virtual bool removes_at_once() const { return false; }
};

const DirectoryMaker& plain_directories();

}  // namespace lxmgr::storage
