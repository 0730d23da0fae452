#pragma once
#include <optional>
#include <string_view>

#include "images/entry.h"

/// Where things are in an image's tarballs: metadata.yaml, templates/ and, in a unified one, rootfs/.
namespace lxmgr::images {

inline constexpr std::string_view kMetadataName = "metadata.yaml";
inline constexpr std::string_view kTemplatesName = "templates";
inline constexpr std::string_view kRootfsName = "rootfs";
inline constexpr std::size_t kMaxMetadataBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxTemplateBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxTemplatesBytes = std::size_t{4} << 20;  ///< all of them together
/// For a tarball that holds metadata only.
inline constexpr UnpackLimits kMetadataLimits{.max_bytes = std::uint64_t{64} << 20, .max_entries = 10'000};

bool in_rootfs(std::string_view path);
/// Makes an entry below rootfs/ one below the root, its hard link target too. Errors: `bad_request` for a
/// link that leaves rootfs/.
Result<> to_rootfs(Entry& entry);

/// The entries of a split image's rootfs tarball: the root file system is at its top (as LXD has it) or, when
/// the first entry says so, below rootfs/.
class RootfsFilter {
public:
    Result<> apply(Entry& entry);

private:
    std::optional<bool> prefixed_;
};

/// Looks at an entry of templates/, its path relative to it: true for a template, false for the directory
/// itself. Errors: `bad_request` for all else.
Result<bool> check_template(const Entry& entry);

}  // namespace lxmgr::images
