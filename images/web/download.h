#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "images/web/web.h"

namespace lxmgr::images {

struct Download {
    std::string url;
    std::string path;              ///< of the new file
    std::uint64_t size_bytes = 0;  ///< exactly
    std::string sha256;            ///< of the whole
};

/// Writes what a URL has to a new file, mode 0600, hashed on its way. On failure there is no file. Errors:
/// `bad_request` when length or hash are others; those of Web.
/// @param progress  gets bytes so far, and all
Result<> download_file(Web& web, const Download& download,
                       const std::function<void(std::uint64_t, std::uint64_t)>& progress);

}  // namespace lxmgr::images
