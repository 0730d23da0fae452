#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "images/byte_source.h"
#include "images/entry.h"
#include "images/file_bytes.h"

struct archive;
struct archive_entry;

namespace lxmgr::images {

/// Reads a tarball entry by entry: ustar, pax, GNU and old tar; plain or compressed with gzip, bzip2, xz,
/// lzma, lzip, zstd, lz4 or compress, always inside this process (libarchive's helper programs are not
/// enabled). One thread at a time.
class TarReader {
public:
    /// @param path    a file of the daemon; a symlink is not followed
    /// @param budget  bounds the decompressed stream; must outlive the reader
    /// Errors: `bad_request` when the file is no tarball (found by the first next()).
    static Result<TarReader> open(const std::string& path, Budget& budget);
    /// The same of what comes from `source`, which must outlive the reader, too.
    static Result<TarReader> open(ByteSource& source, Budget& budget);

    /// The next entry, with `path` and a hard link's target brought into form; none at the end. What is left
    /// of the entry before is dropped.
    Result<std::optional<Entry>> next();
    using BlockSink = std::function<Result<>(std::uint64_t offset, const char* data, std::size_t size)>;
    /// The content of the current entry, block by block; holes of a sparse file are left out.
    Result<> read(const BlockSink& sink);
    /// The whole content. Errors: `bad_request` above the limit.
    Result<std::string> read_text(std::size_t max_bytes);
    /// How much of the file has been read, 0..100.
    int percent() const;
    /// How many bytes of it, as they are before they are decompressed.
    std::uint64_t bytes_read() const;

private:
    struct FreeArchive {
        void operator()(archive* a) const;
    };
    struct Feed;  ///< what libarchive asks for the bytes of a source
    struct FreeFeed {
        void operator()(Feed* feed) const;
    };
    using Archive = std::unique_ptr<archive, FreeArchive>;
    static Result<Archive> make();
    TarReader(Archive archive, std::uint64_t size_bytes, Budget& budget);
    [[nodiscard]] bool seeks() const;
    Result<Entry> convert(archive_entry* raw) const;
    std::unexpected<Error> broken() const;

    std::unique_ptr<FileBytes> file_;       ///< null: what is read is somebody else's
    std::unique_ptr<Feed, FreeFeed> feed_;  ///< null: libarchive reads the file itself
    Archive archive_;
    std::string entry_path_;
    std::uint64_t size_bytes_;
    Budget* budget_;
    bool in_entry_ = false;
};

}  // namespace lxmgr::images
