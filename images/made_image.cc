#include "images/made_image.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "images/fingerprint.h"
#include "images/image_layout.h"
#include "images/image_pack.h"
#include "images/write_all.h"
#include "lxd-daemon/base/failpoint.h"

namespace lxmgr::images {
namespace {

Result<UniqueFd> create(const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd) return fail_errno("Creating", path);
    return fd;
}

Result<std::uint64_t> sync_made(int fd) {
    struct stat st{};
    if (::fsync(fd) != 0) return fail_errno("fsync", "the image");
    if (::fstat(fd, &st) != 0) return fail_errno("fstat", "the image");
    return static_cast<std::uint64_t>(st.st_size);
}

/// The tar stream of a unified image, or of a root file system only.
Result<> write_tar(TarWriter& tar, const PackRequest& request, bool unified) {
    if (!unified) return tar.add_tree(".", request.root_fd);
    LX_TRY(tar.add_text(std::string(kMetadataName), to_yaml(request.metadata), 0644));
    if (!request.metadata.files.empty()) LX_TRY(tar.add_directory(std::string(kTemplatesName), 0755));
    for (const auto& [name, content] : request.metadata.files)
        LX_TRY(tar.add_text(fmt::format("{}/{}", kTemplatesName, name), content, 0644));
    return tar.add_tree("rootfs", request.root_fd);
}

ByteSink counted(const PackRequest& request, ByteSink sink) {
    auto total = std::make_shared<std::uint64_t>(0);
    return [&request, total, sink = std::move(sink)](std::string_view bytes) -> Result<> {
        failpoint("image-pack-bytes");
        *total += bytes.size();
        if (request.progress) request.progress(*total);
        return sink(bytes);
    };
}

Result<ImportedImage> make_unified(const PackRequest& request, const std::stop_token& stop) {
    ImportedImage out{.metadata = request.metadata, .files = {request.prefix + ".metadata", ""}};
    LX_TRY_AS(const UniqueFd fd, create(out.files.metadata_path));
    Revert undo;
    undo.add([path = out.files.metadata_path] { ::unlink(path.c_str()); });
    LX_TRY_AS(Sha256 hash, Sha256::open());
    Compressor compressor(request.packing.compression, [&](std::string_view bytes) -> Result<> {
        LX_TRY(hash.add(bytes));
        return write_all(fd.get(), bytes, "the image");
    });
    const auto compress = [&](std::string_view bytes) { return compressor.add(bytes); };
    LX_TRY_AS(TarWriter tar, TarWriter::open(counted(request, compress), stop));
    LX_TRY(write_tar(tar, request, true));
    LX_TRY(tar.finish());
    LX_TRY(compressor.finish());
    LX_TRY_AS(out.size_bytes, sync_made(fd.get()));
    LX_TRY_AS(out.fingerprint, hash.finish());
    undo.commit();
    return out;
}

/// tar2sqfs(1), which packs on all cores what is written to its input.
class Squasher {
public:
    static Result<Squasher> start(const std::string& path) {
        int fds[2];
        if (::pipe2(fds, O_CLOEXEC) != 0) return fail_errno("pipe2", "");
        const UniqueFd read_end(fds[0]);
        Squasher out{UniqueFd(fds[1])};
        out.said_ = UniqueFd(::open("/dev/null", O_WRONLY | O_CLOEXEC));
        const Command command{.argv = {"tar2sqfs", "--quiet", "--force", "--compressor", "zstd",
                                       "--comp-extra", "level=8", path}};
        LX_TRY_AS(out.child_,
                  spawn(command, {{read_end.get(), 0}, {out.said_.get(), 1}, {out.said_.get(), 2}}));
        return out;
    }
    Squasher(Squasher&&) noexcept = default;
    ~Squasher() {
        if (!child_.pidfd) return;
        ::kill(-child_.pid, SIGKILL);
        std::ignore = reap();
    }
    Result<> add(std::string_view bytes) {
        // SIGPIPE is ignored by the daemon; a packer that died gives EPIPE.
        return write_all(input_.get(), bytes, "to tar2sqfs");
    }
    Result<> finish() {
        input_.reset();
        const int status = reap();
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
        return fail(Status::internal, "tar2sqfs could not pack the image: is the disk full?");
    }

private:
    explicit Squasher(UniqueFd input) : input_(std::move(input)) {}
    int reap() {
        int status = 0;
        while (::waitpid(child_.pid, &status, 0) < 0 && errno == EINTR) {
        }
        child_.pidfd.reset();
        return status;
    }
    UniqueFd input_, said_;
    Child child_;
};

Result<> squash(const PackRequest& request, const std::string& path, const std::stop_token& stop) {
    LX_TRY_AS(Squasher squasher, Squasher::start(path));
    const auto add = [&](std::string_view bytes) { return squasher.add(bytes); };
    LX_TRY_AS(TarWriter tar, TarWriter::open(counted(request, add), stop));
    LX_TRY(write_tar(tar, request, false));
    LX_TRY(tar.finish());
    return squasher.finish();
}

Result<ImportedImage> make_split(const PackRequest& request, const std::stop_token& stop) {
    ImportedImage out{.metadata = request.metadata,
                      .files = {request.prefix + ".metadata", request.prefix + ".rootfs"}};
    Revert undo;
    undo.add([files = out.files] {
        ::unlink(files.metadata_path.c_str());
        ::unlink(files.rootfs_path.c_str());
    });
    std::vector<TextFile> templates;
    for (const auto& [name, content] : request.metadata.files) templates.push_back({name, content});
    LX_TRY(pack_metadata(request.metadata, templates, out.files.metadata_path));
    LX_TRY(squash(request, out.files.rootfs_path, stop));
    for (const auto& path : {out.files.metadata_path, out.files.rootfs_path}) {
        const UniqueFd fd(::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
        if (!fd) return fail_errno("Opening", path);
        if (::fchmod(fd.get(), 0600) != 0) return fail_errno("fchmod", path);
        LX_TRY_AS(const std::uint64_t size, sync_made(fd.get()));
        out.size_bytes += size;
    }
    LX_TRY_AS(out.fingerprint, fingerprint_of(out.files, stop));  // tar2sqfs writes its superblock last
    undo.commit();
    return out;
}

}  // namespace

Result<ImagePacking> parse_packing(std::string_view name) {
    if (name == "squashfs") return ImagePacking{true, Compression::none};
    if (name == "pigz") name = "gzip";
    if (name == "pzstd") name = "zstd";
    const auto compression = parse_compression(name);
    if (compression) return ImagePacking{false, *compression};
    return fail(
        Status::bad_request,
        fmt::format("Invalid compression algorithm \"{}\": there are none, gzip, xz, zstd and squashfs",
                    name.substr(0, 64)));
}

Result<ImportedImage> make_image(const PackRequest& request, const std::stop_token& stop) {
    return request.packing.squashfs ? make_split(request, stop) : make_unified(request, stop);
}

}  // namespace lxmgr::images
