#include "images/servers/lxd_server.h"

#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "images/architecture.h"
#include "images/servers/export_files.h"
#include "images/sha256.h"
#include "images/web/address.h"
#include "lxd-daemon/api/json_reader.h"
#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::images {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMaxAnswer = std::uint64_t{4} << 20;

/// The object inside of LXD's envelope.
Result<Json> metadata_of(const std::string& text, const std::string& url) {
    LX_TRY_AS(Json envelope, api::parse_json(text));
    const auto found = envelope.is_object() ? envelope.find("metadata") : envelope.end();
    if (!envelope.is_object() || found == envelope.end() || !found->is_object())
        return fail(Status::bad_request, fmt::format("'{}' is not answered as LXD does", shown_url(url)));
    return std::move(*found);
}

Result<OfferedImage> read_image(const Json& object) {
    OfferedImage out;
    std::string type = "container";
    std::int64_t size = 0;
    api::Reader reader(object);
    reader.text("fingerprint", out.fingerprint).text("architecture", out.architecture).text("type", type);
    reader.text("filename", out.filename).map("properties", out.properties).number("size", size);
    reader.time("created_at", out.created_at).time("expires_at", out.expires_at);
    LX_TRY(reader.done());
    out.architecture = architecture_name(out.architecture);
    out.size_bytes = size > 0 ? static_cast<std::uint64_t>(size) : 0;
    if (out.filename.contains('/') || has_control_chars(out.filename)) out.filename.clear();
    if (!type.empty() && type != "container")
        return fail(Status::bad_request, "Images of virtual machines are not supported");
    if (!is_sha256(out.fingerprint) || out.architecture.empty() || out.size_bytes > kMaxImageBytes)
        return fail(Status::bad_request, "The image server describes an image that is none");
    return out;
}

}  // namespace

Result<std::unique_ptr<ImageServer>> LxdServer::open(ServerAddress address, std::stop_token stop) {
    LX_TRY(check_server_url(address.url));
    LX_TRY_AS(Web web, Web::open(address.access, std::move(stop)));
    while (address.url.ends_with('/')) address.url.pop_back();
    return std::unique_ptr<ImageServer>(new LxdServer(std::move(address), std::move(web)));
}

std::string LxdServer::image_url(const std::string& fingerprint, const char* more) const {
    std::string url = fmt::format("{}/1.0/images/{}{}?", address_.url, url_encode(fingerprint), more);
    if (!address_.project.empty()) url += "project=" + url_encode(address_.project) + "&";
    if (!address_.secret.empty()) url += "secret=" + url_encode(address_.secret) + "&";
    url.pop_back();
    return url;
}

Result<OfferedImage> LxdServer::find(const std::string& name, const std::string&) {
    std::string fingerprint = name;
    const std::string alias_url =
        fmt::format("{}/1.0/images/aliases/{}{}{}", address_.url, url_encode(name),
                    address_.project.empty() ? "" : "?project=", url_encode(address_.project));
    auto alias = Result<std::string>(fail(Status::not_found, ""));
    if (!is_sha256(name)) alias = web_.get_text(alias_url, kMaxAnswer);
    if (alias) {
        LX_TRY_AS(const Json object, metadata_of(*alias, alias_url));
        LX_TRY(api::Reader(object).text("target", fingerprint).done());
    } else if (alias.error().status != Status::not_found) {
        return std::unexpected(std::move(alias).error());
    }
    const std::string url = image_url(fingerprint, "");
    LX_TRY_AS(const std::string text, web_.get_text(url, kMaxAnswer));
    LX_TRY_AS(const Json object, metadata_of(text, url));
    LX_TRY_AS(found_, read_image(object));
    if (!found_.fingerprint.starts_with(fingerprint))
        return fail(Status::bad_request, "The image server answers with another image than asked for");
    return found_;
}

Result<ImageFiles> LxdServer::download(const std::string& prefix, const DownloadProgress& progress) {
    ExportRequest request{
        .url = image_url(found_.fingerprint, "/export"),
        .prefix = prefix,
        .fingerprint = found_.fingerprint,
        .max_bytes = found_.size_bytes == 0 ? kMaxImageBytes : found_.size_bytes + kMultipartBytes};
    request.progress = [&](std::uint64_t done, std::uint64_t) { progress("image", done, found_.size_bytes); };
    return download_export(web_, request);
}

}  // namespace lxmgr::images
