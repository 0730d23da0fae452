#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>
#include <string_view>

#include "images/architecture.h"
#include "images/fingerprint.h"
#include "images/image.h"
#include "images/scan.h"
#include "images/trailing_hash.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"

namespace lxmgr::images {
namespace {

/// An upload's file made private. Adds its size.
Result<UniqueFd> settle(const std::string& path, std::uint64_t& size_bytes) {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!fd) return fail_errno("Opening", path);
    struct stat st{};
    if (::fstat(fd.get(), &st) != 0) return fail_errno("fstat", path);
    if (!S_ISREG(st.st_mode)) return fail(Status::bad_request, fmt::format("{} is no regular file", path));
    if (::fchmod(fd.get(), 0600) != 0) return fail_errno("fchmod", path);
    size_bytes += static_cast<std::uint64_t>(st.st_size);
    return fd;
}

/// Of an upload's files, those that are there.
Result<> make_durable(const UniqueFd& metadata, const UniqueFd& rootfs) {
    for (const UniqueFd* fd : {&metadata, &rootfs})
        if (*fd && ::fsync(fd->get()) != 0) return fail_errno("fsync", "the image");
    return {};
}

/// Renames to a place in the store. Undone by renaming back, so that a failed import leaves its upload to the
/// caller; a file that was there already has the same content (its name is the hash), so it may be replaced.
Result<> move_into_store(const std::string& from, const std::string& to, Revert& undo) {
    if (failpoint_fails("image-import-rename"))
        return fail(Status::internal, "Failpoint image-import-rename");
    if (::rename(from.c_str(), to.c_str()) != 0) return fail_errno(fmt::format("Renaming {} to", from), to);
    undo.add([from, to] { ::rename(to.c_str(), from.c_str()); });
    return {};
}

Result<Metadata> check_content(const ImageFiles& upload, const std::stop_token& stop) {
    const bool unified = upload.rootfs_path.empty();
    LX_TRY_AS(Metadata metadata, scan_metadata(upload.metadata_path, unified, stop));
    if (metadata.architecture.empty())
        return fail(Status::bad_request, "metadata.yaml: 'architecture' is missing");
    const std::string_view name = architecture_name(metadata.architecture);
    if (name.empty()) {
        return fail(Status::bad_request, fmt::format("metadata.yaml: architecture '{}' is unknown",
                                                     metadata.architecture.substr(0, 64)));
    }
    metadata.architecture = name;
    if (!unified) LX_TRY(scan_rootfs(upload.rootfs_path, stop));
    return metadata;
}

}  // namespace

Result<ImportedImage> import_upload(const ImageFiles& upload, const std::shared_ptr<TrailingHash>& hash,
                                    const std::string& store_dir, std::stop_token stop) {
    ImportedImage out;
    UniqueFd rootfs;
    LX_TRY_AS(const UniqueFd metadata, settle(upload.metadata_path, out.size_bytes));
    if (!upload.rootfs_path.empty()) {
        LX_TRY_AS(rootfs, settle(upload.rootfs_path, out.size_bytes));
    }
    // The disk writes while one thread hashes and this one decompresses: each takes about as long as the
    // other.
    auto syncing = std::async(std::launch::async, [&] { return make_durable(metadata, rootfs); });
    std::stop_source hash_stop;
    const std::stop_callback forward(stop, [&hash_stop] { hash_stop.request_stop(); });
    auto hashing = std::async(std::launch::async, [&, token = hash_stop.get_token()] {
        return hash ? hash->finish(token) : fingerprint_of(upload, token);
    });
    auto checked = check_content(upload, stop);
    if (!checked) hash_stop.request_stop();
    const auto hashed = hashing.get();
    LX_TRY_AS(out.metadata, std::move(checked));
    LX_TRY_AS(out.fingerprint, hashed);
    LX_TRY(syncing.get());

    failpoint("image-import-checked");
    LX_TRY_AS(out.files, keep_files(upload, out.fingerprint, store_dir));
    return out;
}

Result<ImageFiles> keep_files(const ImageFiles& files, const std::string& fingerprint,
                              const std::string& store_dir) {
    Revert undo;
    ImageFiles out{fmt::format("{}/{}", store_dir, fingerprint), ""};
    LX_TRY(move_into_store(files.metadata_path, out.metadata_path, undo));
    if (!files.rootfs_path.empty()) {
        failpoint("image-import-metadata-moved");
        out.rootfs_path = out.metadata_path + ".rootfs";
        LX_TRY(move_into_store(files.rootfs_path, out.rootfs_path, undo));
    }
    failpoint("image-import-moved");
    LX_TRY(sync_directory(store_dir));
    undo.commit();
    return out;
}

}  // namespace lxmgr::images
