#include "images/web/download.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "images/sha256.h"
#include "images/write_all.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/own.h"

namespace lxmgr::images {
namespace {

/// A full disk is told before gigabytes have come. File systems that cannot reserve are as good without.
Result<> reserve(int fd, const Download& download) {
    if (::fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(download.size_bytes)) == 0) return {};
    if (errno != ENOSPC && errno != EDQUOT) return {};
    return fail_errno(fmt::format("Reserving {} bytes for", download.size_bytes), shown_url(download.url));
}

Result<> fetch(Web& web, const Download& download, int fd,
               const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
    LX_TRY(reserve(fd, download));
    LX_TRY_AS(Sha256 hash, Sha256::open());
    WebRequest request{.url = download.url, .max_bytes = download.size_bytes};
    request.sink = [&](std::string_view bytes) -> Result<> {
        failpoint("image-download-bytes");
        LX_TRY(hash.add(bytes));
        return write_all(fd, bytes, shown_url(download.url));
    };
    request.restart = [&]() -> Result<> {
        if (::ftruncate(fd, 0) != 0 || ::lseek(fd, 0, SEEK_SET) != 0)
            return fail_errno("Storing", shown_url(download.url));
        return hash.restart();
    };
    request.progress = [&](std::uint64_t done, std::uint64_t) {
        if (progress) progress(done, download.size_bytes);
    };
    LX_TRY_AS(const WebAnswer answer, web.send(request));
    if (answer.size_bytes != download.size_bytes) {
        return fail(Status::bad_request,
                    fmt::format("'{}' has {} bytes, where the server's list says {}", shown_url(download.url),
                                answer.size_bytes, download.size_bytes));
    }
    LX_TRY_AS(const std::string found, hash.finish());
    if (found != download.sha256) {
        return fail(Status::bad_request, fmt::format("'{}' has another hash than the server's list says: {}",
                                                     shown_url(download.url), found));
    }
    return {};
}

}  // namespace

Result<> download_file(Web& web, const Download& download,
                       const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
    const UniqueFd fd(::open(download.path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd) return fail_errno("Creating", download.path);
    Revert undo;
    undo.add([&download] { ::unlink(download.path.c_str()); });
    LX_TRY(fetch(web, download, fd.get(), progress));
    undo.commit();
    return {};
}

}  // namespace lxmgr::images
