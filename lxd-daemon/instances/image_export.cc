#include "lxd-daemon/instances/image_export.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::instances {
namespace {

struct OpenFile {
    UniqueFd fd;
    std::uint64_t size_bytes = 0;
    std::string extension;
};

struct Magic {
    std::string_view bytes;
    std::string_view extension;
};
// First bytes of the formats in which images come.
constexpr std::array<Magic, 7> kMagics{{
    {std::string_view("\x1f\x8b", 2), ".tar.gz"},
    {std::string_view("\xfd\x37zXZ\x00", 6), ".tar.xz"},
    {std::string_view("\x28\xb5\x2f\xfd", 4), ".tar.zst"},
    {std::string_view("BZh", 3), ".tar.bz2"},
    {std::string_view("\x5d\x00\x00", 3), ".tar.lzma"},
    {std::string_view("\x04\x22\x4d\x18", 4), ".tar.lz4"},
    {std::string_view("hsqs", 4), ".squashfs"},
}};

Result<OpenFile> open_file(const std::string& path) {
    OpenFile out;
    out.fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!out.fd) return fail_errno("Opening", path);
    struct stat st{};
    if (::fstat(out.fd.get(), &st) != 0) return fail_errno("fstat", path);
    out.size_bytes = static_cast<std::uint64_t>(st.st_size);
    std::array<char, 6> head{};
    const ssize_t got = ::pread(out.fd.get(), head.data(), head.size(), 0);
    if (got < 0) return fail_errno("Reading", path);
    const std::string_view seen(head.data(), static_cast<std::size_t>(got));
    out.extension = ".tar";
    for (const Magic& magic : kMagics) {
        if (seen.starts_with(magic.bytes)) out.extension = magic.extension;
    }
    return out;
}

/// A part of a multipart/form-data body.
void add_part(ImageExport& to, const std::string& boundary, const std::string& name,
              const std::string& filename, OpenFile file) {
    to.pieces.push_back(
        {.text = fmt::format("--{}\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\n"
                             "Content-Type: application/octet-stream\r\n\r\n",
                             boundary, name, filename)});
    to.pieces.push_back({.file = std::move(file.fd), .file_bytes = file.size_bytes});
    to.pieces.push_back({.text = "\r\n"});
}

}  // namespace

Result<ImageExport> open_image_export(const std::string& fingerprint, const images::ImageFiles& files) {
    LX_TRY_AS(OpenFile metadata, open_file(files.metadata_path));
    ImageExport out;
    const std::string filename = fingerprint + metadata.extension;
    if (files.rootfs_path.empty()) {
        out.pieces.push_back({.file = std::move(metadata.fd), .file_bytes = metadata.size_bytes});
        out.content_type = "application/octet-stream";
        out.filename = filename;
        return out;
    }
    LX_TRY_AS(OpenFile rootfs, open_file(files.rootfs_path));
    const std::string boundary = random_hex(30);
    add_part(out, boundary, "metadata", "meta-" + filename, std::move(metadata));
    const std::string rootfs_name = fingerprint + rootfs.extension;
    add_part(out, boundary, "rootfs", rootfs_name, std::move(rootfs));
    out.pieces.push_back({.text = fmt::format("--{}--\r\n", boundary)});
    out.content_type = fmt::format("multipart/form-data; boundary={}", boundary);
    return out;
}

}  // namespace lxmgr::instances
