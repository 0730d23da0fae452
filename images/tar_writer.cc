#include "images/tar_writer.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

#include "images/compressor.h"
#include "images/entry.h"
#include "images/utf8_locale.h"
#include "images/write_all.h"

namespace lxmgr::images {
namespace {

constexpr int kMaxTarDepth = 512;
constexpr std::size_t kBlock = std::size_t{256} << 10;

struct FreeTarEntry {
    void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};
using EntryPtr = std::unique_ptr<archive_entry, FreeTarEntry>;

struct CloseDirectory {
    void operator()(DIR* directory) const { ::closedir(directory); }
};

Result<std::vector<std::string>> names_in(int directory_fd) {
    // Opened anew: fdopendir(3) takes the descriptor, and its position.
    UniqueFd own(::openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!own) return fail_errno("Opening", "a directory to be archived");
    const std::unique_ptr<DIR, CloseDirectory> stream(::fdopendir(own.get()));
    if (!stream) return fail_errno("fdopendir", "");
    std::ignore = own.release();
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(stream.get())) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") names.emplace_back(name);
    }
    std::ranges::sort(names);
    return names;
}

EntryPtr entry_of(const struct stat& st, const std::string& path) {
    EntryPtr entry(archive_entry_new());
    archive_entry_copy_stat(entry.get(), &st);
    archive_entry_unset_atime(entry.get());
    archive_entry_unset_ctime(entry.get());
    archive_entry_unset_birthtime(entry.get());
    archive_entry_copy_pathname(entry.get(), path.c_str());
    return entry;
}

Result<> add_xattrs(archive_entry* entry, int fd, const std::string& path) {
    const ssize_t size = ::flistxattr(fd, nullptr, 0);
    if (size == 0 || (size < 0 && errno == EOPNOTSUPP)) return {};
    if (size < 0) return fail_errno("flistxattr", path);
    std::string list(static_cast<std::size_t>(size), '\0');
    const ssize_t listed = ::flistxattr(fd, list.data(), list.size());
    if (listed < 0) return fail_errno("flistxattr", path);
    list.resize(static_cast<std::size_t>(listed));
    std::string value(std::size_t{64} << 10, '\0');  // XATTR_SIZE_MAX
    for (std::size_t at = 0; at < list.size(); at = list.find('\0', at) + 1) {
        const char* name = list.c_str() + at;
        if (!is_image_xattr(name)) continue;
        const ssize_t n = ::fgetxattr(fd, name, value.data(), value.size());
        if (n < 0) return fail_errno("fgetxattr", path);
        archive_entry_xattr_add_entry(entry, name, value.data(), static_cast<std::size_t>(n));
    }
    return {};
}

/// Where the data of a file with holes is; none: it has no holes.
std::vector<std::pair<off_t, off_t>> extents_of(int fd, off_t size) {
    std::vector<std::pair<off_t, off_t>> out;
    off_t at = 0;
    while (at < size) {
        const off_t data = ::lseek(fd, at, SEEK_DATA);
        if (data < 0) break;  // ENXIO: only a hole is left
        off_t end = ::lseek(fd, data, SEEK_HOLE);
        if (end < 0) end = size;
        out.emplace_back(data, end);
        at = end;
    }
    ::lseek(fd, 0, SEEK_SET);
    const bool whole = out.size() == 1 && out.front() == std::pair<off_t, off_t>(0, size);
    if (whole || size == 0) return {};
    if (out.empty()) out.emplace_back(size, size);
    return out;
}

/// @param path  below the tree's root
bool can_be_read_back(const struct stat& st, std::string path) {
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)) return true;
    Entry entry;
    entry.path = std::move(path);
    entry.type = S_ISCHR(st.st_mode) ? EntryType::char_device : EntryType::block_device;
    entry.device_major = major(st.st_rdev);
    entry.device_minor = minor(st.st_rdev);
    return is_image_device(entry);
}

}  // namespace

Result<Compression> parse_compression(std::string_view name) {
    if (name == "none") return Compression::none;
    if (name.empty() || name == "gzip") return Compression::gzip;
    if (name == "xz") return Compression::xz;
    if (name == "zstd") return Compression::zstd;
    return fail(Status::bad_request,
                fmt::format("Invalid compression algorithm \"{}\": there are none, gzip, xz and zstd", name));
}

/// What one tree's entries share.
struct TarWriter::Tree {
    std::string path;  ///< of its root in the archive
    dev_t device = 0;
    std::map<ino_t, std::string> links;  ///< paths of files with more than one name
};

void TarWriter::FreeArchive::operator()(archive* a) const { archive_write_free(a); }

struct TarWriter::Sink {
    ByteSink take;
    std::optional<Error> error;
    std::function<void(std::uint64_t)> progress;
    std::uint64_t bytes = 0;

    static la_ssize_t write(archive*, void* self, const void* bytes, std::size_t size) noexcept {
        auto& sink = *static_cast<Sink*>(self);
        auto taken = sink.take({static_cast<const char*>(bytes), size});
        if (taken) {
            sink.bytes += size;
            if (sink.progress) sink.progress(sink.bytes);
            return static_cast<la_ssize_t>(size);
        }
        sink.error = std::move(taken).error();
        return -1;
    }
};

std::unexpected<Error> TarWriter::failed(const std::string& path) const {
    if (sink_ && sink_->error) return std::unexpected(*sink_->error);
    const char* why = archive_error_string(archive_.get());
    return fail(Status::internal, fmt::format("Writing '{}' into the archive: {}", path,
                                              why == nullptr ? "libarchive failed" : why));
}

Result<TarWriter> TarWriter::open(UniqueFd fd, Compression compression, std::stop_token stop) {
    auto compressor = std::make_shared<Compressor>(compression, [file = fd.get()](std::string_view bytes) {
        return write_all(file, bytes, "the archive");
    });
    LX_TRY_AS(TarWriter out,
              open([compressor](std::string_view bytes) { return compressor->add(bytes); }, std::move(stop)));
    out.fd_ = std::move(fd);
    out.compressor_ = std::move(compressor);
    return out;
}

Result<TarWriter> TarWriter::open(ByteSink sink, std::stop_token stop) {
    std::unique_ptr<archive, FreeArchive> a(archive_write_new());
    auto state = std::make_shared<Sink>();
    state->take = std::move(sink);
    const bool good = archive_write_set_format_pax_restricted(a.get()) == ARCHIVE_OK &&
                      archive_write_set_bytes_per_block(a.get(), static_cast<int>(kBlock)) == ARCHIVE_OK &&
                      archive_write_set_bytes_in_last_block(a.get(), 1) == ARCHIVE_OK &&
                      archive_write_open(a.get(), state.get(), nullptr, &Sink::write, nullptr) == ARCHIVE_OK;
    TarWriter out(std::move(a), std::move(stop));
    out.sink_ = std::move(state);
    if (!good) return out.failed("its beginning");
    return out;
}

Result<> TarWriter::header(archive_entry* entry, const std::string& path) {
    if (stop_.stop_requested()) return fail(Status::unavailable, "Writing the archive was cancelled");
    const int rc = archive_write_header(archive_.get(), entry);
    // A warning is about a name that is not UTF-8: it is stored byte by byte.
    if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) return failed(path);
    return {};
}

Result<> TarWriter::data(const char* bytes, std::size_t size, const std::string& path) {
    while (size > 0) {
        const auto n = archive_write_data(archive_.get(), bytes, size);
        if (n <= 0) return failed(path);
        bytes += n;
        size -= static_cast<std::size_t>(n);
    }
    return {};
}

void TarWriter::on_progress(std::function<void(std::uint64_t)> progress) {
    sink_->progress = std::move(progress);
}

Result<> TarWriter::add_directory(const std::string& path, mode_t mode) {
    const EntryPtr entry(archive_entry_new());
    archive_entry_copy_pathname(entry.get(), path.c_str());
    archive_entry_set_filetype(entry.get(), AE_IFDIR);
    archive_entry_set_perm(entry.get(), mode);
    archive_entry_set_mtime(entry.get(), ::time(nullptr), 0);
    return header(entry.get(), path);
}

Result<> TarWriter::add_text(const std::string& path, const std::string& content, mode_t mode) {
    return add_bytes(path, content.size(), mode, [&](const ByteSink& sink) { return sink(content); });
}

Result<> TarWriter::add_bytes(const std::string& path, std::uint64_t size, mode_t mode,
                              const std::function<Result<>(const ByteSink& sink)>& produce) {
    const EntryPtr entry(archive_entry_new());
    archive_entry_copy_pathname(entry.get(), path.c_str());
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), mode);
    archive_entry_set_mtime(entry.get(), ::time(nullptr), 0);
    archive_entry_set_size(entry.get(), static_cast<std::int64_t>(size));
    LX_TRY(header(entry.get(), path));
    std::uint64_t left = size;
    LX_TRY(produce([&](std::string_view bytes) -> Result<> {
        if (stop_.stop_requested()) return fail(Status::unavailable, "Writing the archive was cancelled");
        if (bytes.size() > left) return fail(Status::internal, fmt::format("'{}' became longer", path));
        left -= bytes.size();
        return data(bytes.data(), bytes.size(), path);
    }));
    if (left != 0) return fail(Status::internal, fmt::format("'{}' became shorter", path));
    return {};
}

Result<> TarWriter::add_open_file(const std::string& path, int fd) {
    struct stat st{};
    if (::fstat(fd, &st) != 0) return fail_errno("fstat", path);
    st.st_uid = st.st_gid = 0;
    st.st_mode = S_IFREG | 0600;
    st.st_nlink = 1;
    const EntryPtr entry = entry_of(st, path);
    return add_file(entry.get(), fd, st, path);
}

Result<> TarWriter::add_tree(const std::string& path, int directory_fd) {
    const Utf8Locale utf8;
    struct stat st{};
    if (::fstat(directory_fd, &st) != 0) return fail_errno("fstat", path);
    Tree tree;
    tree.path = path;
    tree.device = st.st_dev;
    const EntryPtr entry = entry_of(st, path);
    LX_TRY(add_xattrs(entry.get(), directory_fd, path));
    LX_TRY(header(entry.get(), path));
    return add_below(tree, directory_fd, path, 0);
}

Result<> TarWriter::add_below(Tree& tree, int directory_fd, const std::string& path, int depth) {
    if (depth > kMaxTarDepth)
        return fail(Status::bad_request, fmt::format("'{}' is too deep to be archived", path));
    LX_TRY_AS(const auto names, names_in(directory_fd));
    for (const auto& name : names) LX_TRY(add_entry(tree, directory_fd, name, path + "/" + name, depth));
    return {};
}

Result<> TarWriter::add_entry(Tree& tree, int directory_fd, const std::string& name, const std::string& path,
                              int depth) {
    struct stat st{};
    if (::fstatat(directory_fd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
        return fail_errno("fstatat", path);
    if (S_ISSOCK(st.st_mode) || !can_be_read_back(st, path.substr(tree.path.size() + 1))) return {};
    const EntryPtr entry = entry_of(st, path);
    if (!S_ISDIR(st.st_mode) && st.st_nlink > 1) {
        const auto [first, fresh] = tree.links.emplace(st.st_ino, path);
        if (!fresh) {
            archive_entry_copy_hardlink(entry.get(), first->second.c_str());
            archive_entry_set_size(entry.get(), 0);
            return header(entry.get(), path);
        }
    }
    if (S_ISLNK(st.st_mode)) {
        std::string target(4096, '\0');
        const ssize_t n = ::readlinkat(directory_fd, name.c_str(), target.data(), target.size());
        if (n < 0) return fail_errno("readlinkat", path);
        target.resize(static_cast<std::size_t>(n));
        archive_entry_copy_symlink(entry.get(), target.c_str());
        archive_entry_set_size(entry.get(), 0);
        return header(entry.get(), path);
    }
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) return header(entry.get(), path);
    const int kind = S_ISDIR(st.st_mode) ? O_DIRECTORY : O_NONBLOCK;
    const UniqueFd fd(::openat(directory_fd, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | kind));
    if (!fd) return fail_errno("Opening", path);
    LX_TRY(add_xattrs(entry.get(), fd.get(), path));
    if (S_ISREG(st.st_mode)) return add_file(entry.get(), fd.get(), st, path);
    LX_TRY(header(entry.get(), path));
    return st.st_dev == tree.device ? add_below(tree, fd.get(), path, depth + 1) : Result<>{};
}

Result<> TarWriter::add_file(archive_entry* entry, int fd, const struct stat& st, const std::string& path) {
    for (const auto& [begin, end] : extents_of(fd, st.st_size))
        archive_entry_sparse_add_entry(entry, begin, end - begin);
    LX_TRY(header(entry, path));
    std::vector<char> buffer(std::min(kBlock, static_cast<std::size_t>(st.st_size)));
    // libarchive wants the holes' zeros too, and drops them.
    for (off_t at = 0; at < st.st_size;) {
        if (stop_.stop_requested()) return fail(Status::unavailable, "Writing the archive was cancelled");
        const auto wanted = std::min(buffer.size(), static_cast<std::size_t>(st.st_size - at));
        const ssize_t n = ::pread(fd, buffer.data(), wanted, at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno("Reading", path);
        if (n == 0) return fail(Status::internal, fmt::format("'{}' became shorter meanwhile", path));
        LX_TRY(data(buffer.data(), static_cast<std::size_t>(n), path));
        at += n;
    }
    return {};
}

Result<std::uint64_t> TarWriter::finish() {
    if (archive_write_close(archive_.get()) != ARCHIVE_OK) return failed("its end");
    if (!fd_) return 0;
    LX_TRY(compressor_->finish());
    struct stat st{};
    if (::fsync(fd_.get()) != 0) return fail_errno("fsync", "the archive");
    if (::fstat(fd_.get(), &st) != 0) return fail_errno("fstat", "the archive");
    return static_cast<std::uint64_t>(st.st_size);
}

}  // namespace lxmgr::images
