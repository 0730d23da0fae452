#pragma once
#include <chrono>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "images/image.h"

namespace lxmgr::images {

/// When the newest package of an installed Debian tree was built: the newest time of a changelog in
/// usr/share/doc, which dpkg keeps. The same packages give the same time, whenever they are installed.
Result<std::chrono::sys_seconds> newest_package(const std::string& root);
/// The same of a tree that keeps no changelogs: the newest time of a file in usr that was there before; what
/// the installation's scripts make is younger than its beginning.
Result<std::chrono::sys_seconds> newest_file(const std::string& root, std::chrono::sys_seconds before);

/// Packs a tree into a squashfs (zstd) through tar and tar2sqfs: sorted, owners and extended attributes kept,
/// times after `newest` (the installation's own) set to it.
Result<> pack_rootfs(const std::string& root, const std::string& squashfs_path,
                     std::chrono::sys_seconds newest, const std::stop_token& stop);

struct TextFile {
    std::string name;
    std::string content;
};
/// Writes the metadata tarball (xz): metadata.yaml and templates/, root's, all of the metadata's creation
/// date.
Result<> pack_metadata(const Metadata& metadata, const std::vector<TextFile>& templates,
                       const std::string& path);

}  // namespace lxmgr::images
