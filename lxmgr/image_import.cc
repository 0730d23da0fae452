// Upload of images: one file as it is, or two as multipart/form-data (RFC 7578), never held in memory.
#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/base/strings.h"
#include "lxmgr/editor.h"
#include "lxmgr/images.h"
#include "lxmgr/object.h"
#include "lxmgr/remote_files.h"

namespace lxmgr::cli {
namespace {

constexpr std::size_t kImageImportPieceBytes = std::size_t{1} << 20;

struct OpenFile {
    UniqueFd fd;
    std::uint64_t size_bytes = 0;
    std::string name;
};

Result<OpenFile> open_file(const std::string& path) {
    OpenFile file{UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), 0, base_name(path)};
    struct stat status{};
    if (!file.fd) return fail_errno("open", path);
    if (::fstat(file.fd.get(), &status) != 0) return fail_errno("stat", path);
    if (!S_ISREG(status.st_mode))
        return fail(Status::bad_request, fmt::format("'{}' is not a regular file", path));
    file.size_bytes = static_cast<std::uint64_t>(status.st_size);
    return file;
}

/// Text and files, one after the other.
class Pieces {
public:
    explicit Pieces(Progress& progress) : progress_(progress) {}
    void add(std::string text) { total_ += text.size(), parts_.push_back(Part{std::move(text), OpenFile()}); }
    void add(OpenFile file) {
        total_ += file.size_bytes, parts_.push_back(Part{std::string(), std::move(file)});
    }
    [[nodiscard]] std::uint64_t total() const { return total_; }

    Result<std::size_t> read(std::span<char> buffer) {
        while (at_ < parts_.size()) {
            LX_TRY_AS(const std::size_t n, read_part(parts_[at_], buffer));
            if (n == 0) {
                ++at_;
                offset_ = 0;
                continue;
            }
            offset_ += n;
            done_ += n;
            progress_.tick(fmt::format("{}%", done_ * 100 / std::max<std::uint64_t>(total_, 1)));
            return n;
        }
        return std::size_t{0};
    }

private:
    struct Part {
        std::string text;
        OpenFile file;
    };

    Result<std::size_t> read_part(const Part& part, std::span<char> buffer) const {
        if (!part.file.fd) {
            const std::size_t n = std::min(buffer.size(), part.text.size() - offset_);
            std::copy_n(part.text.begin() + static_cast<std::ptrdiff_t>(offset_), n, buffer.begin());
            return n;
        }
        const std::size_t want = std::min<std::uint64_t>(buffer.size(), part.file.size_bytes - offset_);
        if (want == 0) return std::size_t{0};
        const ssize_t n = ::pread(part.file.fd.get(), buffer.data(), want, static_cast<off_t>(offset_));
        if (n < 0) return fail_errno("read", part.file.name);
        if (n == 0)
            return fail(Status::bad_request,
                        fmt::format("'{}' became shorter while it was read", part.file.name));
        return static_cast<std::size_t>(n);
    }

    Progress& progress_;
    std::vector<Part> parts_;
    std::size_t at_ = 0;
    std::size_t offset_ = 0;
    std::uint64_t total_ = 0;
    std::uint64_t done_ = 0;
};

/// A file name as it may stand in a header: what would need quoting is replaced.
std::string header_safe(std::string name) {
    std::ranges::replace_if(
        name, [](char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20; }, '_');
    return name;
}

std::string part_head(const std::string& boundary, std::string_view name, const std::string& filename) {
    return fmt::format(
        "--{}\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\n"
        "Content-Type: application/octet-stream\r\n\r\n",
        boundary, name, header_safe(filename));
}

std::string url_form(const std::vector<std::pair<std::string, std::string>>& pairs) {
    std::string text;
    for (const auto& [key, value] : pairs)
        text += fmt::format("{}{}={}", text.empty() ? "" : "&", encode(key), encode(value));
    return text;
}

HttpRequest head_of(const ImportRequest& request, const std::string& filename) {
    HttpRequest head{.method = "POST", .target = "/1.0/images", .headers = {}, .body = {}};
    head.headers.emplace_back("X-LXD-filename", header_safe(filename));
    if (!request.properties.empty())
        head.headers.emplace_back("X-LXD-properties", url_form(request.properties));
    if (request.is_public) head.headers.emplace_back("X-LXD-public", "true");
    return head;
}

Result<Json> upload(Client& client, const ImportRequest& request) {
    Progress progress("Importing the image");
    Pieces pieces(progress);
    LX_TRY_AS(OpenFile metadata, open_file(request.metadata_path));
    HttpRequest head = head_of(request, metadata.name);
    if (request.rootfs_path.empty()) {
        head.headers.emplace_back("Content-Type", "application/octet-stream");
        pieces.add(std::move(metadata));
    } else {
        const std::string boundary = "lxmgr" + random_hex(24);
        LX_TRY_AS(OpenFile rootfs, open_file(request.rootfs_path));
        head.headers.emplace_back("Content-Type", "multipart/form-data; boundary=" + boundary);
        pieces.add(part_head(boundary, "metadata", metadata.name));
        pieces.add(std::move(metadata));
        pieces.add("\r\n" + part_head(boundary, "rootfs", rootfs.name));
        pieces.add(std::move(rootfs));
        pieces.add(fmt::format("\r\n--{}--\r\n", boundary));
    }
    Upload body{[&pieces](std::span<char> buffer) { return pieces.read(buffer); }, pieces.total()};
    head.upload = &body;
    LX_TRY_AS(const Answer answer, client.send(std::move(head)));
    progress.clear();
    return client.finish(answer, {"Importing the image"});
}

/// Packs such a folder as a unified image. The same tree gives the same bytes: it is not imported twice.
Result<> pack_folder(const std::string& folder, const std::string& file) {
    std::error_code error;
    const std::string whole = std::filesystem::absolute(folder, error).string();
    lxmgr::Command tar{
        .argv = {"tar", "--create", "--gzip", "--file", file, "--directory", whole, "--format=posix",
                 "--pax-option=delete=atime,delete=ctime", "--sort=name", "--numeric-owner", "--acls",
                 "--xattrs", "--xattrs-include=security.capability", "--xattrs-include=user.*",
                 "metadata.yaml", "rootfs"},
        .input = {},
        .cwd = {}};
    if (std::filesystem::exists(whole + "/templates", error)) tar.argv.emplace_back("templates");
    const Spinner spinner("Packing " + folder);
    LX_TRY(run_checked(tar));
    return {};
}

struct DigestFree {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

}  // namespace

Result<std::string> fingerprint_of(const std::vector<std::string>& paths) {
    const std::unique_ptr<EVP_MD_CTX, DigestFree> digest(EVP_MD_CTX_new());
    if (!digest || EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr) != 1)
        return fail(Status::internal, "SHA-256 is not available");
    std::string buffer(kImageImportPieceBytes, '\0');
    for (const auto& path : paths) {
        LX_TRY_AS(const OpenFile file, open_file(path));
        for (;;) {
            const ssize_t n = ::read(file.fd.get(), buffer.data(), buffer.size());
            if (n < 0) return fail_errno("read", path);
            if (n == 0) break;
            EVP_DigestUpdate(digest.get(), buffer.data(), static_cast<std::size_t>(n));
        }
    }
    std::string sum(EVP_MAX_MD_SIZE, '\0');
    unsigned size = 0;
    EVP_DigestFinal_ex(digest.get(), reinterpret_cast<unsigned char*>(sum.data()), &size);
    sum.resize(size);
    return to_hex(sum);
}

Result<std::string> import_image(Client& client, const ImportRequest& request) {
    std::vector<std::string> files{request.metadata_path};
    if (!request.rootfs_path.empty()) files.push_back(request.rootfs_path);
    LX_TRY_AS(const std::string fingerprint, fingerprint_of(files));
    if (client.get(api_path({"images", fingerprint}))) return fingerprint;
    auto operation = upload(client, request);
    if (!operation)
        return std::unexpected(
            in(fmt::format("Importing '{}'", request.metadata_path), std::move(operation).error()));
    const std::string told = text_member(member(*operation, "metadata"), "fingerprint");
    if (told != fingerprint) {
        return fail(Status::internal,
                    fmt::format("The daemon says fingerprint {}, but the files have {}", told, fingerprint));
    }
    return fingerprint;
}

Result<std::string> import_folder(Client& client, const std::string& folder, ImportRequest request) {
    std::error_code error;
    const auto holds = [&](const char* name) {
        return std::filesystem::exists(join_path(folder, name), error);
    };
    if (holds("metadata.tar.xz") && holds("rootfs.squashfs")) {
        request.metadata_path = join_path(folder, "metadata.tar.xz");
        request.rootfs_path = join_path(folder, "rootfs.squashfs");
        return import_image(client, request);
    }
    if (!holds("metadata.yaml") || !holds("rootfs")) {
        return fail(Status::bad_request,
                    fmt::format("Folder '{}' is no image: it must hold metadata.yaml and rootfs, or "
                                "metadata.tar.xz and rootfs.squashfs",
                                folder));
    }
    LX_TRY_AS(const TemporaryDirectory made, TemporaryDirectory::create("/var/tmp"));
    request.metadata_path = made.path() + "/image.tar.gz";
    auto packed = pack_folder(folder, request.metadata_path);
    if (!packed) return std::unexpected(in(fmt::format("Packing '{}'", folder), std::move(packed).error()));
    return import_image(client, request);
}

Result<std::string> import_url(Client& client, const std::string& url, const ImportRequest& request) {
    Json properties = Json::object();
    for (const auto& [key, value] : request.properties) properties[key] = value;
    const Json body = {{"source", {{"type", "url"}, {"mode", "pull"}, {"url", url}}},
                       {"properties", properties},
                       {"public", request.is_public}};
    auto done = client.call("POST", "/1.0/images", body, {"Fetching " + url});
    if (!done) return std::unexpected(in(fmt::format("Importing '{}'", url), std::move(done).error()));
    const std::string fingerprint = text_member(member(*done, "metadata"), "fingerprint");
    if (fingerprint.empty())
        return fail(Status::internal,
                    fmt::format("The daemon does not say which image it made of '{}'", url));
    return fingerprint;
}

}  // namespace lxmgr::cli
