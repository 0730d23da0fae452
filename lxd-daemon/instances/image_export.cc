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

Result<> write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = ::write(fd, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return fail_errno("Writing", "image export");
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

// In the kernel; shares the blocks where the file system can.
Result<> copy_image_part(const OpenFile& from, int to) {
    std::uint64_t left = from.size_bytes;
    while (left > 0) {
        const ssize_t copied = ::copy_file_range(from.fd.get(), nullptr, to, nullptr, left, 0);
        if (copied < 0 && errno == EINTR) continue;
        if (copied < 0) return fail_errno("Copying", "image export");
        if (copied == 0) return fail(Status::internal, "The image file became shorter");
        left -= static_cast<std::uint64_t>(copied);
    }
    return {};
}

Result<> append_part(int to, const std::string& boundary, const std::string& name,
                     const std::string& filename, const OpenFile& file) {
    LX_TRY(
        write_all(to, fmt::format("--{}\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\n"
                                  "Content-Type: application/octet-stream\r\n\r\n",
                                  boundary, name, filename)));
    LX_TRY(copy_image_part(file, to));
    return write_all(to, "\r\n");
}

}  // namespace

Result<ImageExport> open_image_export(const std::string& fingerprint, const images::ImageFiles& files,
                                      const std::string& temp_dir) {
    LX_TRY_AS(OpenFile metadata, open_file(files.metadata_path));
    if (files.rootfs_path.empty()) {
        return ImageExport{std::move(metadata.fd), metadata.size_bytes, "application/octet-stream",
                           fingerprint + metadata.extension};
    }
    LX_TRY_AS(const OpenFile rootfs, open_file(files.rootfs_path));
    ImageExport out;
    out.fd = UniqueFd(::open(temp_dir.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!out.fd) return fail_errno("Opening a temporary file in", temp_dir);
    const std::string boundary = random_hex(30);
    const int fd = out.fd.get();
    LX_TRY(append_part(fd, boundary, "metadata", fmt::format("meta-{}{}", fingerprint, metadata.extension),
                       metadata));
    LX_TRY(append_part(fd, boundary, "rootfs", fingerprint + rootfs.extension, rootfs));
    LX_TRY(write_all(fd, fmt::format("--{}--\r\n", boundary)));
    const off_t end = ::lseek(fd, 0, SEEK_CUR);
    if (end < 0 || ::lseek(fd, 0, SEEK_SET) != 0) return fail_errno("lseek", "image export");
    out.size_bytes = static_cast<std::uint64_t>(end);
    out.content_type = fmt::format("multipart/form-data; boundary={}", boundary);
    return out;
}

}  // namespace lxmgr::instances
