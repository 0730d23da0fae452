#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <climits>
#include <nlohmann/json.hpp>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/files.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest {
namespace {

using instances::FileType;

Result<std::string> path_of(const Request& request) {
    std::string path = request.query_or("path", "");
    if (path.empty()) return fail(Status::bad_request, "Missing path argument");
    return path;
}

/// Both families of names, so that lxc and incus find theirs.
Response with_file_headers(Response response, const instances::FileInfo& info, const std::string& path) {
    const std::pair<const char*, std::string> values[] = {
        {"uid", std::to_string(info.uid)},          {"gid", std::to_string(info.gid)},
        {"mode", fmt::format("{:04o}", info.mode)}, {"type", instances::to_string(info.type)},
        {"modified", to_rfc3339(info.modified)},
    };
    for (const auto& [name, value] : values) {
        response = std::move(response).with_header(fmt::format("X-LXD-{}", name), value);
        response = std::move(response).with_header(fmt::format("X-Incus-{}", name), value);
    }
    const std::string last = path.substr(path.rfind('/') + 1);
    if (info.type != FileType::file || last.empty() || has_control_chars(last) || last.contains('"'))
        return response;
    return std::move(response).with_header("Content-Disposition", fmt::format("inline;filename={}", last));
}

Response to_response(instances::OpenedFile file, const std::string& path) {
    switch (file.info.type) {
        case FileType::directory:
            return with_file_headers(Response::sync(file.entries), file.info, path);
        case FileType::symlink:
            return with_file_headers(Response::raw(std::move(file.link_target), "application/octet-stream"),
                                     file.info, path);
        case FileType::file:
            break;
    }
    const auto size = file.info.size_bytes;
    return with_file_headers(Response::stream(std::move(file.fd), size, "application/octet-stream"),
                             file.info, path);
}

void tell(const Request& request, const Services& services, const char* action, const std::string& path) {
    services.instances->lifecycle(action, request.path_arg("name"), request.requestor_json, {{"path", path}});
}

Handled file_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(const std::string path, path_of(request));
    auto open = [&services, name = request.path_arg("name"), path]() -> Result<instances::OpenedFile> {
        LX_TRY_AS(const auto root, services.instances->open_root(name));
        return instances::open_file(root, path);
    };
    auto pending = on_worker(services, std::move(open));
    LX_CO_TRY_AS(auto file, co_await std::move(pending));
    tell(request, services, "instance-file-retrieved", path);
    co_return to_response(std::move(file), path);
}

Handled file_head(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(const std::string path, path_of(request));
    auto look = [&services, name = request.path_arg("name"), path]() -> Result<instances::FileInfo> {
        LX_TRY_AS(const auto root, services.instances->open_root(name));
        return instances::file_info(root, path);
    };
    auto pending = on_worker(services, std::move(look));
    LX_CO_TRY_AS(const auto info, co_await std::move(pending));
    co_return with_file_headers(Response::raw("", "application/octet-stream"), info, path);
}

Result<std::optional<std::uint32_t>> number_header(const Request& request, const char* name, int base,
                                                   std::uint32_t most) {
    const auto text = request.header(fmt::format("x-lxd-{}", name));
    if (!text || text->empty()) return std::optional<std::uint32_t>();
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value, base);
    if (error != std::errc{} || end != text->data() + text->size() || value > most) {
        return fail(Status::bad_request, fmt::format("Header X-LXD-{} '{}' is not a number{}", name, *text,
                                                     base == 8 ? " of the form 0644" : ""));
    }
    return std::optional(value);
}

Result<instances::Ownership> ownership_of(const Request& request) {
    instances::Ownership out;
    LX_TRY_AS(out.uid, number_header(request, "uid", 10, UINT32_MAX - 1));
    LX_TRY_AS(out.gid, number_header(request, "gid", 10, UINT32_MAX - 1));
    LX_TRY_AS(out.mode, number_header(request, "mode", 8, 07777));
    return out;
}

/// What of it an object that exists gets as well: X-LXD-modify-perm names it.
Result<instances::Ownership> modified_of(const Request& request, const instances::Ownership& given) {
    instances::Ownership out;
    for (const auto& name : split(request.header("x-lxd-modify-perm").value_or(""), ',')) {
        if (name == "uid") {
            out.uid = given.uid;
        } else if (name == "gid") {
            out.gid = given.gid;
        } else if (name == "mode") {
            out.mode = given.mode;
        } else if (!name.empty()) {
            return fail(Status::bad_request,
                        fmt::format("Header X-LXD-modify-perm: '{}' is not one of uid, gid, mode", name));
        }
    }
    return out;
}

struct Write {
    std::string path, type;
    bool append = false;
    instances::Ownership ownership, existing;
    std::shared_ptr<BodyFile> body;
};

Result<Write> write_of(const Request& request) {
    Write write;
    LX_TRY_AS(write.path, path_of(request));
    LX_TRY_AS(write.ownership, ownership_of(request));
    LX_TRY_AS(write.existing, modified_of(request, write.ownership));
    write.type = request.header("x-lxd-type").value_or("file");
    if (write.type != "file" && write.type != "directory" && write.type != "symlink") {
        return fail(Status::bad_request,
                    fmt::format("Header X-LXD-type '{}' is not one of file, directory, symlink", write.type));
    }
    const std::string mode = request.header("x-lxd-write").value_or("overwrite");
    if (mode != "overwrite" && mode != "append") {
        return fail(Status::bad_request,
                    fmt::format("Header X-LXD-write '{}' is not one of overwrite, append", mode));
    }
    write.append = mode == "append";
    if (request.files.size() != 1) return fail(Status::bad_request, "The request has no body to write");
    write.body = request.files.front();
    return write;
}

Result<std::string> symlink_target(const BodyFile& body) {
    if (body.size_bytes >= PATH_MAX) return fail(Status::bad_request, "The symlink's target is too long");
    std::string target(static_cast<std::size_t>(body.size_bytes), '\0');
    if (::pread(body.fd.get(), target.data(), target.size(), 0) != std::ssize(target))
        return fail_errno("Reading", "the body");
    return target;
}

Result<> perform(const instances::InstanceRoot& root, const Write& write) {
    if (write.type == "directory")
        return instances::make_directory(root, write.path, write.ownership, write.existing);
    if (write.type == "file" && write.body->path.empty()) {
        LX_TRY_AS(const bool named,
                  instances::name_file(root, write.path, write.body->fd.get(), write.ownership));
        if (named) return {};
    }
    if (write.type == "file")
        return instances::write_file(root, write.path, write.body->fd.get(), write.append, write.ownership,
                                     write.existing);
    LX_TRY_AS(const std::string target, symlink_target(*write.body));
    return instances::make_symlink(root, write.path, target, write.ownership);
}

Handled file_post(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(auto write, write_of(request));
    const std::string path = write.path;
    auto work = [&services, name = request.path_arg("name"), write = std::move(write)]() -> Result<> {
        LX_TRY_AS(const auto root, services.instances->open_root(name));
        return perform(root, write);
    };
    auto pending = on_worker(services, std::move(work));
    LX_CO_TRY(co_await std::move(pending));
    tell(request, services, "instance-file-pushed", path);
    co_return Response::empty();
}

/// Most files are new ones in a running instance: their bytes go where they belong at once.
UniqueFd place_of(const Request& request, Services& services) {
    const auto path = path_of(request);
    const auto ownership = ownership_of(request);
    const bool plain = request.header("x-lxd-type").value_or("file") == "file" &&
                       request.header("x-lxd-write").value_or("overwrite") == "overwrite";
    if (!plain || !path || !ownership || !check_project(request)) return UniqueFd();
    const auto root = services.instances->open_root(request.path_arg("name"));
    return root ? instances::unnamed_file(*root, *path, *ownership) : UniqueFd();
}

Handled file_delete(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(const std::string path, path_of(request));
    const bool recursive = request.header("x-lxd-force").value_or("") == "true";
    auto work = [&services, name = request.path_arg("name"), path, recursive]() -> Result<> {
        LX_TRY_AS(const auto root, services.instances->open_root(name));
        return instances::remove_path(root, path, recursive);
    };
    auto pending = on_worker(services, std::move(work));
    LX_CO_TRY(co_await std::move(pending));
    tell(request, services, "instance-file-deleted", path);
    co_return Response::empty();
}

constexpr Route kInstanceFilesRoutes[] = {
    {Verb::get, "/1.0/instances/{name}/files", Access::can_edit, file_get},
    {Verb::head, "/1.0/instances/{name}/files", Access::can_edit, file_head},
    {Verb::post, "/1.0/instances/{name}/files", Access::can_edit, file_post, Body::raw_file, place_of},
    {Verb::del, "/1.0/instances/{name}/files", Access::can_edit, file_delete},
};

}  // namespace

std::span<const Route> instance_file_routes() { return kInstanceFilesRoutes; }

}  // namespace lxmgr::rest
