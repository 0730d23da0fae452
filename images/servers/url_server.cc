#include "images/servers/url_server.h"

#include <fmt/format.h>

#include "images/servers/export_files.h"
#include "images/sha256.h"
#include "images/web/address.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::images {
namespace {

std::string header_of(const WebAnswer& answer, const char* name) {
    const auto found = answer.headers.find(name);
    return found == answer.headers.end() ? "" : found->second;
}

std::string last_part(const std::string& url) {
    const std::string path = url.substr(0, url.find_first_of("?#"));
    return path.substr(path.rfind('/') + 1);
}

}  // namespace

Result<std::unique_ptr<ImageServer>> UrlServer::open(ServerAddress address, std::stop_token stop) {
    LX_TRY_AS(const UrlParts parts, parse_url(address.url));
    if (parts.scheme != "https")
        return fail(Status::bad_request, fmt::format("'{}' is no https URL", shown_url(address.url)));
    LX_TRY_AS(Web web, Web::open(address.access, std::move(stop)));
    return std::unique_ptr<ImageServer>(new UrlServer(address.url, std::move(web)));
}

Result<OfferedImage> UrlServer::find(const std::string&, const std::string& architecture) {
    const WebRequest request{
        .url = url_,
        .headers = {"LXD-Server-Architectures: " + architecture, "LXD-Server-Version: " LXMGR_VERSION},
        .head = true};
    LX_TRY_AS(const WebAnswer answer, web_.send(request));
    fingerprint_ = to_lower(header_of(answer, "lxd-image-hash"));
    image_url_ = header_of(answer, "lxd-image-url");
    if (!is_sha256(fingerprint_) || image_url_.empty()) {
        return fail(
            Status::bad_request,
            fmt::format("'{}' names no image: it does not answer with LXD-Image-Hash and LXD-Image-URL",
                        shown_url(url_)));
    }
    LX_TRY_AS(const UrlParts parts, parse_url(image_url_));
    if (parts.scheme != "https")
        return fail(Status::bad_request, fmt::format("'{}' leads to '{}', which is no https URL",
                                                     shown_url(url_), shown_url(image_url_)));
    OfferedImage out;
    out.fingerprint = fingerprint_;
    out.filename = last_part(image_url_);
    return out;
}

Result<ImageFiles> UrlServer::download(const std::string& prefix, const DownloadProgress& progress) {
    ExportRequest request{
        .url = image_url_, .prefix = prefix, .fingerprint = fingerprint_, .max_bytes = kMaxImageBytes};
    request.progress = [&](std::uint64_t done, std::uint64_t total) { progress("image", done, total); };
    return download_export(web_, request);
}

}  // namespace lxmgr::images
