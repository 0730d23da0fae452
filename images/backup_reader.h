#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
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

/// A backup to be read. One that is used up loses what has been read of it meanwhile, so that it and what is
/// made of it need not both have room.
struct BackupFile {
    BackupFile(std::string path_of_it, bool is_used_up = false)  // NOLINT: a path is one
        : path(std::move(path_of_it)), used_up(is_used_up) {}
    std::string path;
    bool used_up;
};

/// Unpacks all parts in one pass; entries of none are left out.
/// @param metadata_prefix  below it, metadata.yaml and templates/ are read; empty: there are none
/// @param progress  gets 0..100
/// Errors: `bad_request` for what the backup got wrong, and when a part is not in it. What was unpacked by
/// then is the caller's to discard.
Result<Metadata> unpack_backup(const BackupFile& file, const std::vector<BackupPart>& parts,
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
Result<> read_backup_streams(const BackupFile& file, const std::vector<BackupStream>& streams,
                             const UnpackLimits& limits, std::stop_token stop,
                             const std::function<void(int)>& progress);

}  // namespace lxmgr::images
