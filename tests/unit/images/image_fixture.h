#pragma once
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "images/image.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/spawn.h"

namespace lxmgr::images {

/// A directory that goes with its owner: below /var/tmp, where extended attributes work, or where it is told.
class TempDir {
public:
    explicit TempDir(const std::string& base = "/var/tmp") {
        std::string pattern = base + "/lxmgr-images-XXXXXX";
        if (::mkdtemp(pattern.data()) == nullptr) std::abort();
        path_ = pattern;
    }
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    ~TempDir() { (void)remove_tree(path_).has_value(); }
    const std::string& path() const { return path_; }
    std::string operator/(std::string_view name) const { return fmt::format("{}/{}", path_, name); }
    std::string make(std::string_view name) const {
        std::filesystem::create_directories(*this / name);
        return *this / name;
    }

private:
    std::string path_;
};

inline std::string read_text(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}
inline void write_text(const std::string& path, std::string_view text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}
inline struct stat stat_of(const std::string& path) {
    struct stat st{};
    EXPECT_EQ(::lstat(path.c_str(), &st), 0) << path;
    return st;
}

enum class Packing { none, gzip, bzip2, xz, zstd, lz4 };

/// Writes tarballs, hostile ones too: names go in as they are given.
class Tar {
public:
    explicit Tar(std::string path, Packing packing = Packing::none,
                 int format = ARCHIVE_FORMAT_TAR_PAX_RESTRICTED)
        : path_(std::move(path)), archive_(archive_write_new()) {
        archive_write_set_format(archive_, format);
        add_filter(packing);
        archive_write_set_bytes_in_last_block(archive_, 1);
        EXPECT_EQ(archive_write_open_filename(archive_, path_.c_str()), ARCHIVE_OK);
    }
    Tar(const Tar&) = delete;
    Tar& operator=(const Tar&) = delete;
    ~Tar() { close(); }
    std::string close() {
        if (archive_ != nullptr) {
            EXPECT_EQ(archive_write_close(archive_), ARCHIVE_OK) << archive_error_string(archive_);
            archive_write_free(archive_);
        }
        archive_ = nullptr;
        return path_;
    }

    using Change = std::function<void(archive_entry*)>;
    Tar& add(const std::string& name, unsigned type, std::string_view content = {},
             const Change& change = {}) {
        archive_entry* entry = archive_entry_new();
        archive_entry_set_pathname(entry, name.c_str());
        archive_entry_set_filetype(entry, type);
        archive_entry_set_perm(entry, type == AE_IFDIR ? 0755 : 0644);
        archive_entry_set_mtime(entry, 1'600'000'000, 0);
        archive_entry_set_size(entry, static_cast<std::int64_t>(content.size()));
        if (change) change(entry);
        EXPECT_GE(archive_write_header(archive_, entry), ARCHIVE_WARN) << archive_error_string(archive_);
        if (!content.empty()) archive_write_data(archive_, content.data(), content.size());
        archive_entry_free(entry);
        return *this;
    }
    Tar& file(const std::string& name, std::string_view content = {}, const Change& change = {}) {
        return add(name, AE_IFREG, content, change);
    }
    Tar& dir(const std::string& name, const Change& change = {}) { return add(name, AE_IFDIR, {}, change); }
    Tar& symlink(const std::string& name, const std::string& target) {
        return add(name, AE_IFLNK, {},
                   [&](archive_entry* e) { archive_entry_set_symlink(e, target.c_str()); });
    }
    Tar& link(const std::string& name, const std::string& target) {
        return add(name, AE_IFREG, {},
                   [&](archive_entry* e) { archive_entry_set_hardlink(e, target.c_str()); });
    }
    Tar& device(const std::string& name, unsigned type, unsigned major, unsigned minor) {
        return add(name, type, {}, [&](archive_entry* e) {
            archive_entry_set_rdevmajor(e, major);
            archive_entry_set_rdevminor(e, minor);
        });
    }

private:
    void add_filter(Packing packing) {
        switch (packing) {
            case Packing::none:
                break;
            case Packing::gzip:
                archive_write_add_filter_gzip(archive_);
                break;
            case Packing::bzip2:
                archive_write_add_filter_bzip2(archive_);
                break;
            case Packing::xz:
                archive_write_add_filter_xz(archive_);
                break;
            case Packing::zstd:
                archive_write_add_filter_zstd(archive_);
                break;
            case Packing::lz4:
                archive_write_add_filter_lz4(archive_);
                break;
        }
    }
    std::string path_;
    archive* archive_;
};

inline constexpr const char* kMetadata =
    "architecture: x86_64\ncreation_date: 1600000000\nproperties: {os: Debian}\n";

/// A metadata tarball with nothing but a plain metadata.yaml.
inline std::string plain_metadata(const std::string& path) {
    Tar tar(path);
    tar.file("metadata.yaml", kMetadata);
    return tar.close();
}

/// Turns an uncompressed tarball of a root file system into a squashfs image.
inline std::string to_squashfs(const std::string& tar_path, const std::string& path,
                               const std::string& compressor = "zstd") {
    const auto packed =
        run_checked({.argv = {"tar2sqfs", "--quiet", "--force", "--compressor", compressor, path},
                     .input = read_text(tar_path)});
    EXPECT_TRUE(packed) << packed.error().message;
    return path;
}

/// Unpacks into a new directory below `base`.
inline Result<> unpack_into(const ImageFiles& files, const std::string& directory,
                            const UnpackLimits& limits = {}) {
    std::filesystem::create_directories(directory);
    const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return unpack_rootfs(files, fd.get(), limits, std::stop_token(), nullptr);
}

#define ASSERT_OK(...)                                   \
    do {                                                 \
        const auto result_ = (__VA_ARGS__);              \
        ASSERT_TRUE(result_) << result_.error().message; \
    } while (0)

}  // namespace lxmgr::images
