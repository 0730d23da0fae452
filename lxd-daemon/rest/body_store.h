#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "images/byte_source.h"
#include "images/trailing_hash.h"
#include "lxd-daemon/api/multipart.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/rest/route.h"

namespace lxmgr::rest {

/// Where a big body's files are made: a directory of the daemon's own, which stays there while `held` is.
struct BodyDirectory {
    std::string path;
    std::shared_ptr<const void> held;
};

/// Writes a big body to files: one, or one per part of multipart/form-data. Blocking: for the
/// worker pool.
class BodyStore {
public:
    /// @param split_parts false: multipart bodies are kept whole too
    /// @param place when valid: takes the place of the one file in `directory`
    static Result<std::unique_ptr<BodyStore>> open(BodyDirectory directory, std::string_view content_type,
                                                   bool split_parts, UniqueFd place);
    Result<> write(std::string_view bytes);
    /// Writes all that comes.
    Result<> take(images::ByteSource& body);
    /// The one file that all bytes go to, positioned at their end; null: the parts have to be told apart.
    [[nodiscard]] BodyFile* whole() const { return parser_ ? nullptr : files_.front().get(); }
    /// So many bytes were written there past this store.
    void wrote(std::uint64_t bytes);
    /// To be called once at the end of the body; every file is positioned at 0.
    Result<std::vector<std::shared_ptr<BodyFile>>> finish();
    /// After finish(): of the files' bytes, one file after the other; null unless `split_parts` was asked
    /// for.
    [[nodiscard]] std::shared_ptr<images::TrailingHash> hash() { return std::move(hash_); }

private:
    explicit BodyStore(BodyDirectory directory) : directory_(std::move(directory)) {}
    Result<> begin_file(std::string part_name, std::string filename);
    Result<> append(std::string_view bytes);

    BodyDirectory directory_;
    std::shared_ptr<images::TrailingHash> hash_;
    std::unique_ptr<api::MultipartParser> parser_;  ///< null: one plain file
    std::vector<std::shared_ptr<BodyFile>> files_;
};

}  // namespace lxmgr::rest
