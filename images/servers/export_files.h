#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "images/image.h"
#include "images/web/web.h"

/// Private to the folder.
namespace lxmgr::images {

/// What the form around the files of a split image may take.
inline constexpr std::uint64_t kMaxImageBytes = std::uint64_t{64} << 30;
inline constexpr std::uint64_t kMultipartBytes = std::uint64_t{64} << 10;

struct ExportRequest {
    std::string url;
    std::string prefix;       ///< new files prefix.metadata and prefix.rootfs
    std::string fingerprint;  ///< of the file, or of both one after the other
    std::uint64_t max_bytes = 0;
    std::function<void(std::uint64_t, std::uint64_t)> progress;
};
/// An image as LXD exports it: one file, or a multipart/form-data body of two. Hashed on its way; on failure
/// there are no files. Errors: `bad_request` for another hash or form.
Result<ImageFiles> download_export(Web& web, const ExportRequest& request);

/// Errors: `bad_request` when it is no plain https URL.
Result<> check_server_url(const std::string& url);

}  // namespace lxmgr::images
