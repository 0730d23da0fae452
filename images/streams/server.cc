#include "images/streams/server.h"

#include <fmt/format.h>
#include <unistd.h>

#include "images/servers/export_files.h"
#include "images/web/download.h"
#include "lxd-daemon/base/own.h"

namespace lxmgr::images {
namespace {

constexpr std::uint64_t kMaxList = std::uint64_t{64} << 20;  // Ubuntu's releases take 5 MiB

}  // namespace

Result<StreamServer> StreamServer::open(const std::string& url, WebAccess access, std::stop_token stop) {
    LX_TRY(check_server_url(url));
    LX_TRY_AS(Web web, Web::open(std::move(access), std::move(stop)));
    std::string base = url;
    while (base.ends_with('/')) base.pop_back();
    return StreamServer(std::move(base), std::move(web));
}

Result<std::vector<StreamImage>> StreamServer::images() {
    LX_TRY_AS(const std::string index, web_.get_text(url_ + "/streams/v1/index.json", kMaxList));
    LX_TRY_AS(const auto paths, parse_stream_index(index));
    std::vector<StreamImage> out;
    for (const auto& path : paths) {
        if (!is_usable_path(path))
            return fail(Status::bad_request,
                        fmt::format("Image server '{}' names an unusable path", shown_url(url_)));
        LX_TRY_AS(const std::string text, web_.get_text(fmt::format("{}/{}", url_, path), kMaxList));
        LX_TRY_AS(const auto products, parse_stream_products(text));
        for (auto& image : images_of(products)) out.push_back(std::move(image));
    }
    return out;
}

Result<OfferedImage> StreamServer::find(const std::string& name, const std::string& architecture) {
    auto all = images();
    if (!all)
        return std::unexpected(
            in(fmt::format("Asking image server '{}'", shown_url(url_)), std::move(all).error()));
    if (const StreamImage* found = find_stream_image(*all, name, architecture)) {
        found_ = *found;
        return found_;
    }
    return fail(Status::not_found, fmt::format("Image server '{}' has no container image '{}' for {}",
                                               shown_url(url_), name.substr(0, 128), architecture));
}

Result<ImageFiles> StreamServer::download(const std::string& prefix, const DownloadProgress& progress) {
    ImageFiles files{prefix + ".metadata", ""};
    Revert undo;
    const auto get = [&](const StreamFile& file, const std::string& path, std::string_view what) {
        const auto shown = [&](std::uint64_t done, std::uint64_t total) { progress(what, done, total); };
        return download_file(
            web_, {fmt::format("{}/{}", url_, file.path), path, file.size_bytes, file.sha256}, shown);
    };
    LX_TRY(get(found_.metadata, files.metadata_path, found_.rootfs ? "metadata" : "image"));
    undo.add([path = files.metadata_path] { ::unlink(path.c_str()); });
    if (found_.rootfs) {
        files.rootfs_path = prefix + ".rootfs";
        LX_TRY(get(*found_.rootfs, files.rootfs_path, "rootfs"));
    }
    undo.commit();
    return files;
}

}  // namespace lxmgr::images
