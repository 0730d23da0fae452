#include "lxmgr/remote_files.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>

#include "lxd-daemon/base/strings.h"
#include "lxmgr/descriptors.h"
#include "lxmgr/object.h"
#include "lxmgr/units.h"

namespace lxmgr::cli {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel, path_resolution(7)
constexpr std::size_t kRemoteFilesMaxLinkBytes = 65536;
constexpr std::size_t kRemoteFilesPieceBytes = std::size_t{256} << 10;

unsigned header_number(const HttpResponse& response, std::string_view name, int base) {
    const std::string text = response.header(name);
    unsigned value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value, base);
    return value;
}

/// "42%" of a known size, else how much so far; and how fast.
class Meter {
public:
    Meter(Progress& progress, std::optional<std::uint64_t> total) : progress_(progress), total_(total) {}
    void add(std::size_t bytes) {
        done_ += bytes;
        if (!progress_.wanted()) return;
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begun_;
        const auto speed =
            static_cast<std::uint64_t>(static_cast<double>(done_) / std::max(elapsed.count(), 0.001));
        const std::string amount =
            total_ && *total_ > 0 ? fmt::format("{}%", done_ * 100 / *total_) : human_bytes(done_);
        progress_.tick(fmt::format("{} ({}/s)", amount, human_bytes(speed)));
    }

private:
    Progress& progress_;
    std::optional<std::uint64_t> total_;
    std::uint64_t done_ = 0;
    std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

}  // namespace

std::string parent_path(const std::string& path) {
    const auto end = path.find_last_not_of('/');
    if (end == std::string::npos) return "/";
    const auto slash = path.rfind('/', end);
    return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

std::string base_name(const std::string& path) {
    const auto end = path.find_last_not_of('/');
    if (end == std::string::npos) return {};
    const auto slash = path.rfind('/', end);
    return path.substr(slash == std::string::npos ? 0 : slash + 1,
                       end - (slash == std::string::npos ? 0 : slash + 1) + 1);
}

std::string join_path(const std::string& directory, const std::string& name) {
    return directory.ends_with('/') ? directory + name : directory + "/" + name;
}

std::string RemoteFiles::url(const std::string& path) const {
    return api_path({"instances", instance_, "files"}) + "?path=" + encode(path);
}

Error RemoteFiles::named(std::string_view doing, const std::string& path, Error error) const {
    if (error.status == Status::unavailable || error.status == Status::forbidden) return error;
    if (error.status == Status::not_found && error.message.contains("nstance")) {
        return explain(instance_object(instance_), doing, std::move(error));
    }
    if (error.status == Status::not_found) error.message = "There is no such file or directory";
    return in(fmt::format("{} {}{}", doing, instance_, path), std::move(error));
}

Result<RemoteFiles::Opened> RemoteFiles::open(const std::string& path) {
    auto response = client_.open({.method = "GET", .target = url(path), .headers = {}, .body = {}});
    if (!response) return std::unexpected(named("Reading", path, std::move(response).error()));
    Opened opened{{.type = (*response)->header("X-LXD-type"),
                   .uid = header_number(**response, "X-LXD-uid", 10),
                   .gid = header_number(**response, "X-LXD-gid", 10),
                   .mode = header_number(**response, "X-LXD-mode", 8)},
                  *std::move(response)};
    return opened;
}

Result<RemoteFiles::Opened> RemoteFiles::open_following(const std::string& path) {
    std::string at = path;
    for (int links = 0; links < kMaxLinks; ++links) {
        LX_TRY_AS(Opened opened, open(at));
        if (opened.attributes.type != "symlink") return opened;
        LX_TRY_AS(const std::string target, opened.body->read_all(kRemoteFilesMaxLinkBytes));
        at = target.starts_with('/') ? target : join_path(parent_path(at), target);
    }
    return fail(Status::bad_request,
                fmt::format("{}{} is a symbolic link that leads nowhere", instance_, path));
}

Result<std::vector<std::string>> RemoteFiles::entries(Opened& directory) {
    LX_TRY_AS(const std::string body, directory.body->read_all());
    LX_TRY_AS(const Answer answer, open_envelope(directory.body->status(), body));
    std::vector<std::string> names;
    for (const auto& name : answer.metadata) {
        if (!name.is_string()) return fail(Status::internal, "The daemon sent a list of files that is none");
        names.push_back(name.get<std::string>());
    }
    return names;
}

Result<std::string> RemoteFiles::type_of(const std::string& path) {
    auto response = client_.open({.method = "HEAD", .target = url(path), .headers = {}, .body = {}});
    if (response) return (*response)->header("X-LXD-type");
    if (response.error().status == Status::not_found) return std::string();
    return std::unexpected(named("Reading", path, std::move(response).error()));
}

Result<> RemoteFiles::push(const std::string& path, const WantedAttributes& wanted, const char* type,
                           HttpRequest request) {
    request.method = "POST";
    request.target = url(path);
    request.headers.emplace_back("Content-Type", "application/octet-stream");
    request.headers.emplace_back("X-LXD-type", type);
    if (std::string_view(type) == "file") {
        request.headers.emplace_back("X-LXD-write", "overwrite");
        if (!wanted.existing_gets.empty())
            request.headers.emplace_back("X-LXD-modify-perm", wanted.existing_gets);
    }
    if (wanted.uid) request.headers.emplace_back("X-LXD-uid", std::to_string(*wanted.uid));
    if (wanted.gid) request.headers.emplace_back("X-LXD-gid", std::to_string(*wanted.gid));
    if (wanted.mode) request.headers.emplace_back("X-LXD-mode", fmt::format("0{:03o}", *wanted.mode));
    auto done = client_.send(std::move(request));
    if (!done) return std::unexpected(named("Writing", path, std::move(done).error()));
    return {};
}

Result<> RemoteFiles::push_file(const std::string& path, const WantedAttributes& wanted, Upload content) {
    return push(path, wanted, "file",
                {.method = {}, .target = {}, .headers = {}, .body = {}, .upload = &content});
}

Result<> RemoteFiles::push_directory(const std::string& path, const WantedAttributes& wanted) {
    return push(path, wanted, "directory", {});
}

Result<> RemoteFiles::push_link(const std::string& path, const WantedAttributes& wanted,
                                const std::string& target) {
    return push(path, wanted, "symlink", {.method = {}, .target = {}, .headers = {}, .body = target});
}

Result<> RemoteFiles::make_parents(const std::string& path, const WantedAttributes& wanted) {
    std::vector<std::string> missing;
    for (std::string at = parent_path(path); at != "/"; at = parent_path(at)) {
        LX_TRY_AS(const std::string type, type_of(at));
        if (!type.empty()) break;
        missing.push_back(at);
    }
    const WantedAttributes attributes{.uid = wanted.uid, .gid = wanted.gid, .mode = std::nullopt};
    for (auto at = missing.rbegin(); at != missing.rend(); ++at) LX_TRY(push_directory(*at, attributes));
    return {};
}

Result<> RemoteFiles::remove(const std::string& path) {
    auto done = client_.send("DELETE", url(path), nullptr);
    if (!done) return std::unexpected(named("Deleting", path, std::move(done).error()));
    return {};
}

Upload upload_of(int fd, std::optional<std::uint64_t> size_bytes, Progress& progress) {
    auto meter = std::make_shared<Meter>(progress, size_bytes);
    auto left = std::make_shared<std::optional<std::uint64_t>>(size_bytes);
    auto read = [fd, meter, left](std::span<char> buffer) -> Result<std::size_t> {
        const std::size_t want = *left ? std::min<std::uint64_t>(**left, buffer.size()) : buffer.size();
        ssize_t n = 0;
        do {
            n = want > 0 ? ::read(fd, buffer.data(), want) : 0;
        } while (n < 0 && errno == EINTR);
        if (n < 0) return fail_errno("read", "the local file");
        if (n == 0 && *left && **left > 0)
            return fail(Status::bad_request, "The local file became shorter while it was read");
        if (*left) **left -= static_cast<std::uint64_t>(n);
        meter->add(static_cast<std::size_t>(n));
        return static_cast<std::size_t>(n);
    };
    return {std::move(read), size_bytes};
}

Result<> copy_body(HttpResponse& body, int fd, Progress& progress) {
    Meter meter(progress, parse_uint(body.header("Content-Length")));
    std::string buffer(kRemoteFilesPieceBytes, '\0');
    for (;;) {
        LX_TRY_AS(const std::size_t n, body.read(buffer));
        if (n == 0) return {};
        if (!write_all(fd, std::string_view(buffer).substr(0, n)))
            return fail_errno("write", "the local file");
        meter.add(n);
    }
}

}  // namespace lxmgr::cli
