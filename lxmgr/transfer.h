#pragma once
#include <string>

#include "lxmgr/remote_files.h"

/// Whole trees between this machine and an instance.
namespace lxmgr::cli {

/// Pushes a local file, directory tree or (in a tree) symbolic link to the path. Links in a tree go as links;
/// sockets, FIFOs and devices are left out with a warning.
Result<> push_path(RemoteFiles& files, const std::string& local, const std::string& path,
                   const WantedAttributes& wanted, bool recursive);

/// Pulls a file to the entry `name` of a local directory, or a tree when `recursive`. See local_tree.h for
/// what is refused.
Result<> pull_entry(RemoteFiles& files, const std::string& path, int directory, const std::string& name,
                    bool recursive);

}  // namespace lxmgr::cli
