#include "images/servers/export_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <optional>

#include "images/sha256.h"
#include "images/web/address.h"
#include "images/write_all.h"
#include "lxd-daemon/api/multipart.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/own.h"

namespace lxmgr::images {
namespace {

/// The two files while they come.
class ExportFiles {
public:
    explicit ExportFiles(const ExportRequest& request) : request_(request) {}
    ExportFiles(ExportFiles&&) = delete;
    ~ExportFiles() {
        if (!kept_) remove();
    }

    Result<> begin() {
        remove();
        LX_TRY_AS(hash_, Sha256::open());
        parser_.reset();
        first_ = true;
        files_ = {};
        return {};
    }
    /// @param content_type  of the answer
    Result<> add(std::string_view bytes, const std::string& content_type) {
        failpoint("image-export-bytes");
        if (first_) LX_TRY(begin_body(content_type));
        return parser_ ? parser_->feed(bytes) : write(bytes);
    }
    Result<ImageFiles> finish() {
        if (first_) return fail(Status::bad_request, fmt::format("'{}' is empty", shown_url(request_.url)));
        if (parser_) LX_TRY(parser_->finish());
        if (files_.metadata_path.empty() || (parser_ && files_.rootfs_path.empty()))
            return fail(Status::bad_request,
                        fmt::format("'{}' has not the parts of an image", shown_url(request_.url)));
        LX_TRY_AS(const std::string found, hash_->finish());
        if (found != request_.fingerprint)
            return fail(Status::bad_request,
                        fmt::format("'{}' has fingerprint {}, expected {}", shown_url(request_.url), found,
                                    request_.fingerprint));
        kept_ = true;
        return files_;
    }

private:
    Result<> begin_body(const std::string& content_type) {
        first_ = false;
        if (!content_type.starts_with("multipart/form-data")) return open("metadata", "");
        LX_TRY_AS(const std::string boundary, api::multipart_boundary(content_type));
        parser_.emplace(
            boundary,
            api::MultipartParser::Sink{
                [this](const std::string& name, const std::string& file) { return open(name, file); },
                [this](std::string_view bytes) { return write(bytes); }, [] { return Result<>{}; }});
        return {};
    }
    Result<> open(const std::string& name, const std::string&) {
        // The fingerprint is of the metadata followed by the root file system.
        std::string* path = nullptr;
        if (name == "metadata" && files_.metadata_path.empty()) path = &files_.metadata_path;
        if (name == "rootfs" && !files_.metadata_path.empty() && files_.rootfs_path.empty())
            path = &files_.rootfs_path;
        if (path == nullptr)
            return fail(Status::bad_request,
                        fmt::format("'{}' has not the parts of a container image", shown_url(request_.url)));
        const std::string wanted = fmt::format("{}.{}", request_.prefix, name);
        fd_.reset(::open(wanted.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (!fd_) return fail_errno("Creating", wanted);
        *path = wanted;
        return {};
    }
    Result<> write(std::string_view bytes) {
        LX_TRY(hash_->add(bytes));
        return write_all(fd_.get(), bytes, shown_url(request_.url));
    }
    void remove() {
        for (const auto& path : {files_.metadata_path, files_.rootfs_path}) {
            if (!path.empty()) ::unlink(path.c_str());
        }
    }

    const ExportRequest& request_;
    ImageFiles files_;
    UniqueFd fd_;
    std::optional<Sha256> hash_;
    std::optional<api::MultipartParser> parser_;
    bool first_ = true, kept_ = false;
};

}  // namespace

Result<ImageFiles> download_export(Web& web, const ExportRequest& request) {
    ExportFiles files(request);
    LX_TRY(files.begin());
    WebRequest wanted{.url = request.url, .max_bytes = request.max_bytes};
    std::string content_type;
    wanted.begin = [&](const std::map<std::string, std::string>& headers) {
        const auto found = headers.find("content-type");
        content_type = found == headers.end() ? "" : found->second;
    };
    wanted.sink = [&](std::string_view bytes) { return files.add(bytes, content_type); };
    wanted.restart = [&] { return files.begin(); };
    wanted.progress = request.progress;
    LX_TRY(web.send(wanted));
    return files.finish();
}

Result<> check_server_url(const std::string& url) {
    LX_TRY_AS(const UrlParts parts, parse_url(url));
    if (parts.scheme == "https" && url.find_first_of("?#") == std::string::npos) return {};
    return fail(Status::bad_request,
                fmt::format("Image server '{}' is not named by an https URL", shown_url(url)));
}

}  // namespace lxmgr::images
