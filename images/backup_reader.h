#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "images/image.h"

/// Reads backups as LXD writes them: a tarball that begins with backup/index.yaml. Nothing in one is
/// believed: the rules for entries are those of images.
namespace lxmgr::images {

/// What the index says. Errors: `bad_request`.
Result<nlohmann::json> read_backup_index(const std::string& path, std::stop_token stop);

struct Entry;

/// Where a part of the backup goes.
struct BackupPart {
    std::string prefix;                           ///< "backup/container/rootfs"
    int root_fd = -1;                             ///< an empty directory
    std::function<void(Entry&)> adapt = nullptr;  ///< what to change of each entry; null: nothing
    /// Of a block volume: the name that its content gets in the directory. The backup has it as PREFIX.img,
    /// as LXD does, or in a tree under that name; nothing else of the tree is taken. Empty: a tree as it is.
    std::string only_file = {};
};

/// Unpacks all parts in one pass; entries of none are left out.
/// @param metadata_prefix  below it, metadata.yaml and templates/ are read; empty: there are none
/// @param progress  gets 0..100
/// Errors: `bad_request` for what the backup got wrong, and when a part is not in it. What was unpacked by
/// then is the caller's to discard.
Result<Metadata> unpack_backup(const std::string& path, const std::vector<BackupPart>& parts,
                               const std::string& metadata_prefix, const UnpackLimits& limits,
                               std::stop_token stop, const std::function<void(int)>& progress);

/// A file of the backup whose bytes are somebody else's business.
struct BackupStream {
    std::string path;  ///< "backup/container.bin"
    std::function<Result<>(std::string_view bytes)> feed;
    std::function<Result<>()> finish;
};

/// Gives all of them in one pass, in the order that they have in the backup. Errors: theirs; `bad_request`
/// when one is not in it, or when there are others.
Result<> read_backup_streams(const std::string& path, const std::vector<BackupStream>& streams,
                             const UnpackLimits& limits, std::stop_token stop,
                             const std::function<void(int)>& progress);

}  // namespace lxmgr::images
