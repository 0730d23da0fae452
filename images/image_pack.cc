#include "images/image_pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "images/image_layout.h"
#include "images/pipeline.h"

namespace lxmgr::images {
namespace {

namespace fs = std::filesystem;

struct FreeWriter {
    void operator()(archive* a) const { archive_write_free(a); }
};
struct FreeEntry {
    void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};

std::unexpected<Error> write_failed(archive* a, const std::string& path) {
    const char* why = archive_error_string(a);
    return fail(Status::internal,
                fmt::format("Writing {}: {}", path, why == nullptr ? "libarchive failed" : why));
}

Result<> add_text(archive* a, const TextFile& file, std::int64_t seconds, const std::string& path) {
    const std::unique_ptr<archive_entry, FreeEntry> entry(archive_entry_new());
    const bool directory = file.name.ends_with('/');
    archive_entry_set_pathname(entry.get(), file.name.c_str());
    archive_entry_set_filetype(entry.get(), directory ? AE_IFDIR : AE_IFREG);
    archive_entry_set_perm(entry.get(), directory ? 0755 : 0644);
    archive_entry_set_mtime(entry.get(), seconds, 0);
    archive_entry_set_size(entry.get(), static_cast<std::int64_t>(file.content.size()));
    if (archive_write_header(a, entry.get()) != ARCHIVE_OK) return write_failed(a, path);
    const auto n = archive_write_data(a, file.content.data(), file.content.size());
    if (n != static_cast<la_ssize_t>(file.content.size())) return write_failed(a, path);
    return {};
}

/// True for usr/share/doc/PACKAGE/changelog*.
bool is_changelog(const fs::path& file) { return file.filename().native().starts_with("changelog"); }

}  // namespace

Result<std::chrono::sys_seconds> newest_package(const std::string& root) {
    std::int64_t newest = 0;
    std::error_code error;
    const fs::path doc = fs::path(root) / "usr/share/doc";
    for (fs::directory_iterator package(doc, error), end; !error && package != end;
         package.increment(error)) {
        std::error_code skipped;  // a symlink to another package's directory
        if (!package->is_directory(skipped) || package->is_symlink(skipped)) continue;
        for (const auto& file : fs::directory_iterator(package->path(), skipped)) {
            struct stat st{};
            if (!is_changelog(file.path()) || ::lstat(file.path().c_str(), &st) != 0 || !S_ISREG(st.st_mode))
                continue;
            newest = std::max<std::int64_t>(newest, st.st_mtim.tv_sec);
        }
    }
    if (error) return fail(Status::internal, fmt::format("Reading {}: {}", doc.native(), error.message()));
    if (newest == 0) return fail(Status::internal, fmt::format("{} has no changelogs", doc.native()));
    return std::chrono::sys_seconds(std::chrono::seconds(newest));
}

Result<std::chrono::sys_seconds> newest_file(const std::string& root, std::chrono::sys_seconds before) {
    const std::int64_t end = before.time_since_epoch().count();
    std::int64_t newest = 0;
    std::error_code error;
    const fs::path usr = fs::path(root) / "usr";
    for (fs::recursive_directory_iterator file(usr, error), last; !error && file != last;
         file.increment(error)) {
        struct stat st{};
        if (::lstat(file->path().c_str(), &st) != 0 || !S_ISREG(st.st_mode) || st.st_mtim.tv_sec >= end)
            continue;
        newest = std::max<std::int64_t>(newest, st.st_mtim.tv_sec);
    }
    if (error) return fail(Status::internal, fmt::format("Reading {}: {}", usr.native(), error.message()));
    if (newest == 0) return fail(Status::internal, fmt::format("{} has no files of packages", usr.native()));
    return std::chrono::sys_seconds(std::chrono::seconds(newest));
}

Result<> pack_rootfs(const std::string& root, const std::string& squashfs_path,
                     std::chrono::sys_seconds newest, const std::stop_token& stop) {
    const auto seconds = newest.time_since_epoch().count();
    const Command tar{.argv = {"tar", "--create", "--directory", root, "--sort=name", "--numeric-owner",
                               "--xattrs", "--xattrs-include=security.capability", "--xattrs-include=user.*",
                               "--format=posix",
                               "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
                               fmt::format("--mtime=@{}", seconds), "--clamp-mtime", "."}};
    // Level 8 takes a tenth of the default's time (15) for 6 % more bytes.
    const Command squash{.argv = {"tar2sqfs", "--quiet", "--force", "--compressor", "zstd", "--comp-extra",
                                  "level=8", squashfs_path},
                         .extra_env = {fmt::format("SOURCE_DATE_EPOCH={}", seconds)}};
    return run_pipeline({tar, squash}, stop, nullptr);
}

Result<> pack_metadata(const Metadata& metadata, const std::vector<TextFile>& templates,
                       const std::string& path) {
    const std::unique_ptr<archive, FreeWriter> a(archive_write_new());
    if (archive_write_set_format_pax_restricted(a.get()) != ARCHIVE_OK ||
        archive_write_add_filter_xz(a.get()) != ARCHIVE_OK ||
        archive_write_open_filename(a.get(), path.c_str()) != ARCHIVE_OK) {
        return write_failed(a.get(), path);
    }
    const auto seconds =
        std::chrono::floor<std::chrono::seconds>(metadata.creation_date).time_since_epoch().count();
    LX_TRY(add_text(a.get(), {std::string(kMetadataName), to_yaml(metadata)}, seconds, path));
    LX_TRY(add_text(a.get(), {std::string(kTemplatesName) + "/", ""}, seconds, path));
    for (const auto& file : templates) {
        LX_TRY(add_text(a.get(), {fmt::format("{}/{}", kTemplatesName, file.name), file.content}, seconds,
                        path));
    }
    if (archive_write_close(a.get()) != ARCHIVE_OK) return write_failed(a.get(), path);
    return {};
}

}  // namespace lxmgr::images
