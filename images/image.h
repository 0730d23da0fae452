#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::images {

class TrailingHash;

/// A template of metadata.yaml: rendered into the instance at its triggers.
struct Template {
    std::vector<std::string> when;  ///< "create", "copy", "rename", "start"
    bool create_only = false;
    std::string source;  ///< file name below templates/
    api::ConfigMap properties;
    bool operator==(const Template&) const = default;
};

/// metadata.yaml of an image.
struct Metadata {
    std::string architecture;  ///< "x86_64"
    Time creation_date{}, expiry_date{};
    api::ConfigMap properties;
    std::map<std::string, Template> templates;  ///< target path -> template
    /// Content of templates/ by file name: from the archive, not from metadata.yaml.
    std::map<std::string, std::string> files;
};
/// Reads metadata.yaml (at most 1 MiB; aliases and anchors bounded; unknown keys ignored). Errors:
/// `bad_request`.
Result<Metadata> parse_metadata(const std::string& yaml);
std::string to_yaml(const Metadata& metadata);

/// An image in the store: STATE/images/FINGERPRINT (metadata or unified file) and FINGERPRINT.rootfs for
/// split images.
struct ImageFiles {
    std::string metadata_path;  ///< the unified tarball, or the metadata tarball of a split image
    std::string rootfs_path;    ///< empty for a unified image; else a tarball or a squashfs image
};

struct ImportedImage {
    std::string
        fingerprint;  ///< SHA-256 of the unified file, or of metadata followed by rootfs, lower-case hex
    std::uint64_t size_bytes = 0;
    Metadata metadata;
    ImageFiles files;  ///< inside the store directory, durable (fsync'ed, renamed)
};

/// Checks an upload and moves it into the store: finds the type by content (tar in any compression libarchive
/// reads, squashfs by magic), reads and checks metadata.yaml, and verifies that a rootfs is there. `upload`
/// files are on the same file system as `store_dir` and are consumed on success. `bad_request` for what the
/// image got wrong.
/// @param hash  of the files in their order, which have been written; null: nobody makes it yet
Result<ImportedImage> import_upload(const ImageFiles& upload, const std::shared_ptr<TrailingHash>& hash,
                                    const std::string& store_dir, std::stop_token stop);

/// Moves a whole image into the store, durably: one whose content and fingerprint are known. On failure the
/// files are where they were.
Result<ImageFiles> keep_files(const ImageFiles& files, const std::string& fingerprint,
                              const std::string& store_dir);

/// Limits that a hostile image cannot exceed when unpacked.
struct UnpackLimits {
    std::uint64_t max_bytes = std::uint64_t{64} << 30;
    std::uint64_t max_entries = 10'000'000;
};
/// Unpacks the root file system of an image into an empty directory: ownership, modes, xattrs, hard links,
/// sparse files kept. Refused with a clear error, whatever the format: absolute or ".." names, links that
/// would leave the root, entries through planted symlinks, device nodes other than overlay-neutral ones,
/// bombs over the limits. On failure the directory may hold leftovers; the caller discards it. `progress`
/// gets 0..100.
Result<> unpack_rootfs(const ImageFiles& files, int root_fd, const UnpackLimits& limits, std::stop_token stop,
                       const std::function<void(int)>& progress);

}  // namespace lxmgr::images
