#pragma once
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "images/byte_source.h"
#include "images/entry.h"
#include "images/image.h"
#include "images/tar_reader.h"

/// Reads backups as LXD writes them: a tarball that begins with backup/index.yaml. Nothing in one is
/// believed: the rules for entries are those of images.
namespace lxmgr::images {

/// Where a part of the backup goes.
struct BackupPart {
    std::string prefix;                           ///< "backup/container/rootfs"
    int root_fd = -1;                             ///< an empty directory
    std::function<void(Entry&)> adapt = nullptr;  ///< what to change of each entry; null: nothing
    /// Of a block volume: the name that its content gets in the directory. The backup has it as PREFIX.img,
    /// as LXD does, or in a tree under that name; nothing else of the tree is taken. Empty: a tree as it is.
    std::string only_file = {};
};

/// A file of the backup whose bytes are somebody else's business.
struct BackupStream {
    std::string path;  ///< "backup/container.bin"
    std::function<Result<>(std::string_view bytes)> feed;
    std::function<Result<>()> finish;
};

/// What a reading may use, who ends it, and whom it tells how many bytes of the source are behind it.
struct BackupReading {
    UnpackLimits limits = {};
    std::stop_token stop = {};
    std::function<void(std::uint64_t bytes)> progress = [](std::uint64_t) {};
};

/// A backup, read once from its beginning to its end while it comes: nothing of it is kept anywhere. First
/// the index, then either unpack() or streams(). One thread at a time.
class BackupReader {
public:
    explicit BackupReader(std::shared_ptr<ByteSource> source)
        : source_(std::move(source)), budget_(UnpackLimits{}, {}) {}
    BackupReader(BackupReader&&) = delete;

    /// What the index says. Errors: `bad_request`; those of the source.
    Result<nlohmann::json> index();
    /// Unpacks all parts in one pass; entries of none are left out.
    /// @param metadata_prefix  below it, metadata.yaml and templates/ are read; empty: there are none
    /// Errors: `bad_request` for what the backup got wrong, and when a part is not in it; those of the
    /// source. What was unpacked by then is the caller's to discard.
    Result<Metadata> unpack(const std::vector<BackupPart>& parts, const std::string& metadata_prefix,
                            const BackupReading& reading);
    /// Gives all of them in one pass, in the order that they have in the backup. Errors: theirs;
    /// `bad_request` when one is not in it, or when there are others; those of the source.
    Result<> streams(const std::vector<BackupStream>& streams, const BackupReading& reading);
    /// Of the source; 0: nobody knows.
    [[nodiscard]] std::uint64_t size_bytes() const { return source_->size_bytes(); }

private:
    Result<> feed_streams(const std::vector<BackupStream>& streams, const BackupReading& reading);
    Result<> read_rest();

    std::shared_ptr<ByteSource> source_;
    Budget budget_;
    std::optional<TarReader> tar_;
};

}  // namespace lxmgr::images
