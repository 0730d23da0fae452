#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

struct archive;
struct archive_entry;

namespace lxmgr::images {

enum class Compression { none, gzip, xz, zstd };
/// "none", "gzip", "xz", "zstd"; empty is gzip, as LXD's. Errors: `bad_request`.
Result<Compression> parse_compression(std::string_view name);

/// Takes bytes in order.
using ByteSink = std::function<Result<>(std::string_view bytes)>;

class Compressor;

/// Writes a pax tarball. One thread only.
class TarWriter {
public:
    /// Compressed on all cores.
    /// @param fd  an empty file; closed with the writer
    static Result<TarWriter> open(UniqueFd fd, Compression compression, std::stop_token stop);
    /// To a sink in place of a file, not compressed.
    static Result<TarWriter> open(ByteSink sink, std::stop_token stop);
    /// Called often with the length of the tarball by now, not compressed.
    void on_progress(std::function<void(std::uint64_t bytes)> progress);
    Result<> add_directory(const std::string& path, mode_t mode);
    Result<> add_text(const std::string& path, const std::string& content, mode_t mode);
    /// A file whose bytes `produce` gives to the sink, `size` of them.
    Result<> add_bytes(const std::string& path, std::uint64_t size, mode_t mode,
                       const std::function<Result<>(const ByteSink& sink)>& produce);
    /// A regular file with its holes, as root's. Nothing may write to it meanwhile.
    Result<> add_open_file(const std::string& path, int fd);
    /// The directory and all below it, as `path`: owners, modes, times, hard links, holes, devices and the
    /// extended attributes that an image may have. Left out are sockets, and devices that no image may have:
    /// with them, nobody could read the archive back. Other file systems are not entered, symlinks are never
    /// followed. Nothing may write there meanwhile. Errors: `bad_request` for a tree
    /// deeper than 512.
    Result<> add_tree(const std::string& path, int directory_fd);
    /// Ends the archive and syncs the file; returns its size (0: of a sink).
    Result<std::uint64_t> finish();

private:
    struct FreeArchive {
        void operator()(archive* a) const;
    };
    TarWriter(std::unique_ptr<archive, FreeArchive> archive, std::stop_token stop)
        : archive_(std::move(archive)), stop_(std::move(stop)) {}
    struct Sink;
    struct Tree;
    Result<> add_below(Tree& tree, int directory_fd, const std::string& path, int depth);
    Result<> add_entry(Tree& tree, int directory_fd, const std::string& name, const std::string& path,
                       int depth);
    Result<> add_file(archive_entry* entry, int fd, const struct stat& st, const std::string& path);
    Result<> header(archive_entry* entry, const std::string& path);
    Result<> data(const char* bytes, std::size_t size, const std::string& path);
    std::unexpected<Error> failed(const std::string& path) const;

    UniqueFd fd_;                             ///< invalid: there is a sink only
    std::shared_ptr<Compressor> compressor_;  ///< of the file
    std::shared_ptr<Sink> sink_;
    std::unique_ptr<archive, FreeArchive> archive_;
    std::stop_token stop_;
};

}  // namespace lxmgr::images
