#include "images/tar_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "images/acl.h"
#include "images/gunzip.h"
#include "images/utf8_locale.h"

namespace lxmgr::images {
namespace {

/// What is passed over is so in whole blocks of this size only.
constexpr std::size_t kReadBytes = std::size_t{64} << 10;

bool enable(archive* a) {
    // Not ..._filter_all(): that starts programs (lrzip, lzop, grzip) for formats it cannot read itself.
    const bool formats = archive_read_support_format_tar(a) == ARCHIVE_OK;
    const bool filters = archive_read_support_filter_gzip(a) == ARCHIVE_OK &&
                         archive_read_support_filter_bzip2(a) == ARCHIVE_OK &&
                         archive_read_support_filter_xz(a) == ARCHIVE_OK &&
                         archive_read_support_filter_lzma(a) == ARCHIVE_OK &&
                         archive_read_support_filter_lzip(a) == ARCHIVE_OK &&
                         archive_read_support_filter_zstd(a) == ARCHIVE_OK &&
                         archive_read_support_filter_lz4(a) == ARCHIVE_OK &&
                         archive_read_support_filter_compress(a) == ARCHIVE_OK;
    return formats && filters;
}

std::string text_of(const char* text) { return text == nullptr ? std::string() : std::string(text); }

Result<EntryType> tar_type_of(archive_entry* raw, const std::string& path) {
    if (archive_entry_hardlink(raw) != nullptr) return EntryType::hard_link;
    switch (archive_entry_filetype(raw)) {
        case AE_IFREG:
            return EntryType::file;
        case AE_IFDIR:
            return EntryType::directory;
        case AE_IFLNK:
            return EntryType::symlink;
        case AE_IFIFO:
            return EntryType::fifo;
        case AE_IFSOCK:
            return EntryType::socket;
        case AE_IFCHR:
            return EntryType::char_device;
        case AE_IFBLK:
            return EntryType::block_device;
        default:
            return refuse(path, "has an unknown type");
    }
}

Result<std::vector<Xattr>> xattrs_of(archive_entry* raw, const std::string& path) {
    std::vector<Xattr> out;
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    archive_entry_xattr_reset(raw);
    while (archive_entry_xattr_next(raw, &name, &value, &size) == ARCHIVE_OK) {
        if (name == nullptr || !is_image_xattr(name)) continue;
        if (size > kMaxXattrBytes) return refuse(path, "has an extended attribute that is too large");
        out.push_back({name, std::string(static_cast<const char*>(value), size)});
    }
    for (const auto& [type, key] : {std::pair{ARCHIVE_ENTRY_ACL_TYPE_ACCESS, "system.posix_acl_access"},
                                    std::pair{ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, "system.posix_acl_default"}}) {
        if (auto acl = posix_acl_xattr(raw, type)) out.push_back({key, *std::move(acl)});
    }
    return out;
}

}  // namespace

void TarReader::FreeArchive::operator()(archive* a) const { archive_read_free(a); }

struct TarReader::Feed {
    Feed(ByteSource& the_source, Budget& the_budget) : source(the_source), budget(the_budget) {}
    ByteSource& source;
    Budget& budget;
    std::string_view first;  ///< of the source, read already
    std::unique_ptr<Gunzip> gzip;
    std::optional<Error> error;

    Result<std::string_view> next() {
        if (!first.empty()) return std::exchange(first, {});
        return gzip ? gzip->next(budget.stop()) : source.next(budget.stop());
    }
    static la_ssize_t read(archive* a, void* data, const void** bytes) {
        auto& self = *static_cast<Feed*>(data);
        auto got = self.next();
        if (!got) {
            self.error = std::move(got).error();
            archive_set_error(a, EIO, "%s", self.error->message.c_str());
            return -1;
        }
        *bytes = got->data();
        return static_cast<la_ssize_t>(got->size());
    }
};

void TarReader::FreeFeed::operator()(Feed* feed) const { delete feed; }

TarReader::TarReader(Archive archive, std::uint64_t size_bytes, Budget& budget)
    : archive_(std::move(archive)), size_bytes_(size_bytes), budget_(&budget) {}

Result<TarReader::Archive> TarReader::make() {
    Archive made(archive_read_new());
    if (!made || !enable(made.get()))
        return fail(Status::internal, "libarchive lacks a format that images need");
    return made;
}

Result<TarReader> TarReader::open(const std::string& path, Budget& budget) {
    LX_TRY_AS(FileBytes opened, FileBytes::open(path));
    auto file = std::make_unique<FileBytes>(std::move(opened));
    std::array<char, 2> magic{};
    if (::pread(file->fd(), magic.data(), magic.size(), 0) < 0) return fail_errno("Reading", path);
    if (Gunzip::is_gzip({magic.data(), magic.size()})) {
        LX_TRY_AS(TarReader out, open(*file, budget));
        out.file_ = std::move(file);
        return out;
    }
    LX_TRY_AS(Archive a, make());
    if (archive_read_open_fd(a.get(), file->fd(), kReadBytes) != ARCHIVE_OK) {
        return fail(Status::bad_request,
                    fmt::format("The image file is no tarball: {}", text_of(archive_error_string(a.get()))));
    }
    TarReader out(std::move(a), file->size_bytes(), budget);
    out.file_ = std::move(file);
    return out;
}

Result<TarReader> TarReader::open(ByteSource& source, Budget& budget) {
    LX_TRY_AS(Archive a, make());
    TarReader out(std::move(a), source.size_bytes(), budget);
    out.feed_.reset(new Feed(source, budget));
    LX_TRY_AS(out.feed_->first, source.next(budget.stop()));
    out.feed_->gzip = Gunzip::open(source, out.feed_->first);
    if (out.feed_->gzip) out.feed_->first = {};
    if (archive_read_open(out.archive_.get(), out.feed_.get(), nullptr, &Feed::read, nullptr) != ARCHIVE_OK)
        return out.broken();
    return out;
}

std::unexpected<Error> TarReader::broken() const {
    if (feed_ && feed_->error) return std::unexpected(*feed_->error);
    return fail(Status::bad_request, fmt::format("The image tarball cannot be read: {}",
                                                 text_of(archive_error_string(archive_.get()))));
}

/// Of a file that is not packed, libarchive passes over content without reading it, be that there or not. All
/// else it would read to the entry's end in one call, without limit, be it a bomb.
bool TarReader::seeks() const { return !feed_ && archive_filter_count(archive_.get()) == 1; }

Result<std::optional<Entry>> TarReader::next() {
    const Utf8Locale utf8;
    if (in_entry_ && !seeks())
        LX_TRY(read([](std::uint64_t, const char*, std::size_t) { return Result<>(); }));
    archive_entry* raw = nullptr;
    const int rc = archive_read_next_header(archive_.get(), &raw);
    if (rc == ARCHIVE_EOF) {
        if (seeks() && bytes_read() > size_bytes_)
            return fail(Status::bad_request, "The image tarball is cut off within a file");
        return std::optional<Entry>();
    }
    if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) return broken();
    // Warnings are about odd headers, most of them harmless; one about names means that we got a mangled one.
    if (rc == ARCHIVE_WARN && text_of(archive_error_string(archive_.get())).contains("can't be converted"))
        return broken();
    in_entry_ = true;
    LX_TRY(budget_->check_stream(static_cast<std::uint64_t>(archive_filter_bytes(archive_.get(), 0))));
    LX_TRY_AS(Entry entry, convert(raw));
    entry_path_ = entry.path;
    return std::optional<Entry>(std::move(entry));
}

Result<Entry> TarReader::convert(archive_entry* raw) const {
    Entry entry;
    LX_TRY_AS(entry.path, entry_path(text_of(archive_entry_pathname(raw))));
    LX_TRY_AS(entry.type, tar_type_of(raw, entry.path));
    entry.mode = archive_entry_perm(raw) & 07777;
    entry.uid = static_cast<std::uint64_t>(archive_entry_uid(raw));
    entry.gid = static_cast<std::uint64_t>(archive_entry_gid(raw));
    entry.mtime = {archive_entry_mtime(raw), archive_entry_mtime_nsec(raw)};
    entry.size_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(archive_entry_size(raw), 0));
    entry.device_major = static_cast<unsigned>(archive_entry_rdevmajor(raw));
    entry.device_minor = static_cast<unsigned>(archive_entry_rdevminor(raw));
    if (entry.type == EntryType::symlink) entry.link_target = text_of(archive_entry_symlink(raw));
    if (entry.type == EntryType::hard_link) {
        auto target = entry_path(text_of(archive_entry_hardlink(raw)));
        if (!target)
            return refuse(entry.path,
                          fmt::format("is a hard link out of the image: {}", target.error().message));
        entry.link_target = *std::move(target);
    }
    LX_TRY_AS(entry.xattrs, xattrs_of(raw, entry.path));
    return entry;
}

Result<> TarReader::read(const BlockSink& sink) {
    in_entry_ = false;
    for (;;) {
        const void* data = nullptr;
        std::size_t size = 0;
        std::int64_t offset = 0;
        const int rc = archive_read_data_block(archive_.get(), &data, &size, &offset);
        if (rc == ARCHIVE_EOF) return {};
        if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) return broken();
        LX_TRY(budget_->check_stream(static_cast<std::uint64_t>(archive_filter_bytes(archive_.get(), 0))));
        if (offset < 0) return refuse(entry_path_, "has content at a negative offset");
        if (size > 0) LX_TRY(sink(static_cast<std::uint64_t>(offset), static_cast<const char*>(data), size));
    }
}

Result<std::string> TarReader::read_text(std::size_t max_bytes) {
    std::string out;
    LX_TRY(read([&](std::uint64_t offset, const char* data, std::size_t size) -> Result<> {
        if (offset + size > max_bytes)
            return refuse(entry_path_, fmt::format("is larger than {} bytes", max_bytes));
        out.resize(std::max<std::size_t>(out.size(), offset));
        out.replace(offset, size, data, size);
        return {};
    }));
    return out;
}

std::uint64_t TarReader::bytes_read() const {
    if (feed_ && feed_->gzip) return feed_->gzip->packed_bytes();
    return static_cast<std::uint64_t>(std::max<std::int64_t>(archive_filter_bytes(archive_.get(), -1), 0));
}

int TarReader::percent() const {
    if (size_bytes_ == 0) return 0;
    return static_cast<int>(std::min<std::uint64_t>(bytes_read() * 100 / size_bytes_, 100));
}

}  // namespace lxmgr::images
