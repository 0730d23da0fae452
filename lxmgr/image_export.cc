// Download of images: one file as it is, or two as multipart/form-data (RFC 7578), never held in memory.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/strings.h"
#include "lxmgr/descriptors.h"
#include "lxmgr/images.h"
#include "lxmgr/object.h"
#include "lxmgr/remote_files.h"

namespace lxmgr::cli {
namespace {

constexpr std::size_t kImageExportPieceBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxPartHead = std::size_t{64} << 10;
constexpr std::size_t kMaxEnding = 16;

/// The parts of a multipart body, as they come.
class PartReader {
public:
    PartReader(HttpResponse& body, std::string_view boundary, Progress& progress)
        : body_(body),
          progress_(progress),
          total_(parse_uint(body.header("Content-Length"))),
          delimiter_(fmt::format("\r\n--{}", boundary)) {}

    /// The head of the next part; none after the last one.
    Result<std::optional<std::string>> next() {
        while (pending_.size() < delimiter_.size() + 2) LX_TRY(fill());
        if (!pending_.starts_with(delimiter_)) return not_understood();
        if (pending_.compare(delimiter_.size(), 2, "--") == 0) return std::nullopt;
        constexpr std::string_view kHeadEnd = "\r\n\r\n";
        std::size_t end = 0;
        while ((end = pending_.find(kHeadEnd, delimiter_.size())) == std::string::npos) {
            if (pending_.size() > kMaxPartHead) return not_understood();
            LX_TRY(fill());
        }
        std::string head = pending_.substr(delimiter_.size(), end - delimiter_.size());
        pending_.erase(0, end + kHeadEnd.size());
        return head;
    }

    /// The rest of this part.
    Result<> copy(int fd) {
        for (;;) {
            const auto end = pending_.find(delimiter_);
            const bool whole = end != std::string::npos;
            // The delimiter's beginning may have come already.
            const std::size_t n =
                whole ? end : pending_.size() - std::min(pending_.size(), delimiter_.size() - 1);
            if (!write_all(fd, std::string_view(pending_).substr(0, n)))
                return fail_errno("write", "the local file");
            pending_.erase(0, n);
            if (whole) return {};
            LX_TRY(fill());
        }
    }

private:
    Result<> fill() {
        std::string piece(kImageExportPieceBytes, '\0');
        LX_TRY_AS(const std::size_t n, body_.read(piece));
        if (n == 0) return fail(Status::unavailable, "The image's files ended in the middle; try again");
        pending_.append(piece, 0, n);
        done_ += n;
        progress_.tick(total_ && *total_ > 0 ? fmt::format("{}%", done_ * 100 / *total_) : "");
        return {};
    }
    static std::unexpected<Error> not_understood() {
        return fail(Status::internal, "The server's answer is not a list of files");
    }

    HttpResponse& body_;
    Progress& progress_;
    std::optional<std::uint64_t> total_;
    std::uint64_t done_ = 0;
    std::string delimiter_;
    std::string pending_ = "\r\n";  ///< what comes before the first boundary, where there is nothing
};

/// Value of a parameter of a header: `key="value"` or `key=value`.
std::string parameter(std::string_view header, std::string_view key) {
    const std::string wanted = fmt::format("{}=", key);
    for (std::size_t at = header.find(wanted); at != std::string_view::npos;
         at = header.find(wanted, at + 1)) {
        if (at > 0 && header[at - 1] != ';' && header[at - 1] != ' ') continue;  // filename= has name= in it
        std::string_view value = header.substr(at + wanted.size());
        if (value.starts_with('"')) return std::string(value.substr(1, value.find('"', 1) - 1));
        return std::string(value.substr(0, value.find_first_of("; \r\n")));
    }
    return "";
}

/// ".tar.xz" of the name that the server gives a file. Nothing else of the name is used: it is not trusted.
std::string ending_of(const std::string& filename) {
    const auto dot = filename.find('.');
    if (dot == std::string::npos || filename.size() - dot > kMaxEnding) return "";
    const std::string ending = filename.substr(dot);
    constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyz0123456789.";
    return ending.find_first_not_of(kAllowed) == std::string::npos ? ending : "";
}

/// Where the files go: below a folder by their fingerprint, as LXD's client names them, else by the user's
/// name.
class ExportPlaces {
public:
    ExportPlaces(const std::string& target, std::string fingerprint)
        : target_(target.empty() ? "." : target), fingerprint_(std::move(fingerprint)) {
        struct stat status{};
        is_folder_ =
            target_.ends_with('/') || (::stat(target_.c_str(), &status) == 0 && S_ISDIR(status.st_mode));
    }
    [[nodiscard]] std::string unified(const std::string& ending) const {
        return is_folder_ ? join_path(target_, fingerprint_ + ending) : named("", ending);
    }
    [[nodiscard]] std::string metadata(const std::string& ending) const {
        return is_folder_ ? join_path(target_, "meta-" + fingerprint_ + ending) : named("", ending);
    }
    [[nodiscard]] std::string rootfs(const std::string& ending) const {
        return is_folder_ ? join_path(target_, fingerprint_ + ending) : named(".root", ending);
    }

private:
    /// "image.tar.gz" does not become "image.tar.gz.tar.gz".
    [[nodiscard]] std::string named(std::string_view part, const std::string& ending) const {
        std::string stem = target_;
        if (part.empty() && !ending.empty() && stem.ends_with(ending))
            stem.resize(stem.size() - ending.size());
        return fmt::format("{}{}{}", stem, part, ending);
    }

    std::string target_, fingerprint_;
    bool is_folder_ = false;
};

/// Files that get their names when all of them are whole.
class NewFiles {
public:
    NewFiles() = default;
    NewFiles(NewFiles&&) = delete;
    ~NewFiles() {
        for (const auto& path : partial()) ::unlink(path.c_str());
    }
    Result<UniqueFd> add(const std::string& path) {
        const std::string part = path + ".part";
        UniqueFd fd(::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
        if (!fd) return fail_errno("Creating", part);
        paths_.push_back(path);
        return fd;
    }
    [[nodiscard]] std::vector<std::string> partial() const {
        std::vector<std::string> out;
        for (const auto& path : paths_) out.push_back(path + ".part");
        return out;
    }
    Result<std::vector<std::string>> name_all() {
        for (const auto& path : paths_) {
            if (::rename((path + ".part").c_str(), path.c_str()) != 0) return fail_errno("Renaming to", path);
        }
        return std::exchange(paths_, {});
    }

private:
    std::vector<std::string> paths_;
};

Result<> download_parts(PartReader& parts, const ExportPlaces& places, NewFiles& files) {
    for (;;) {
        LX_TRY_AS(const auto head, parts.next());
        if (!head) return {};
        const std::string ending = ending_of(parameter(*head, "filename"));
        const bool is_metadata = parameter(*head, "name") == "metadata";
        LX_TRY_AS(const UniqueFd fd,
                  files.add(is_metadata ? places.metadata(ending) : places.rootfs(ending)));
        LX_TRY(parts.copy(fd.get()));
    }
}

}  // namespace

Result<std::vector<std::string>> export_image(Client& client, const std::string& fingerprint,
                                              const std::string& target) {
    Progress progress("Exporting the image");
    const std::string path = api_path({"images", fingerprint, "export"});
    LX_TRY_AS(const auto body, client.open({.method = "GET", .target = path, .headers = {}, .body = {}}));
    const std::string boundary = parameter(body->header("Content-Type"), "boundary");
    NewFiles files;
    const ExportPlaces places(target, fingerprint);
    if (target == "-") {
        if (!boundary.empty())
            return fail(Status::bad_request, "The image has two files: give a folder or a name for them");
        LX_TRY(copy_body(*body, STDOUT_FILENO, progress));
        return std::vector<std::string>{};
    }
    if (boundary.empty()) {
        const std::string ending = ending_of(parameter(body->header("Content-Disposition"), "filename"));
        LX_TRY_AS(const UniqueFd fd, files.add(places.unified(ending)));
        LX_TRY(copy_body(*body, fd.get(), progress));
    } else {
        PartReader parts(*body, boundary, progress);
        LX_TRY(download_parts(parts, places, files));
    }
    progress.clear();
    LX_TRY_AS(const std::string got, fingerprint_of(files.partial()));
    if (got != fingerprint)
        return fail(Status::internal, fmt::format("What came has fingerprint {}; try again", got));
    return files.name_all();
}

}  // namespace lxmgr::cli
