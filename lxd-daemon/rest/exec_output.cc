#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"

// What recorded commands have written: STATE/logs/INSTANCE/exec-output, the daemon's own directory.
namespace lxmgr::rest {
namespace {

struct CloseOutputs {
    void operator()(DIR* dir) const { ::closedir(dir); }
};

/// Names as plan_record() makes them; nothing else is ever there.
Result<> check_name(const std::string& name) {
    const bool plain = name.starts_with("exec_") && !name.contains('/') && !has_control_chars(name);
    return plain ? Result<>{} : fail(Status::not_found, "Not Found");
}

Result<UniqueFd> open_directory(const std::string& logs_dir) {
    const std::string path = logs_dir + "/exec-output";
    UniqueFd dir(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!dir && errno == ENOENT) return fail(Status::not_found, "Not Found");
    if (!dir) return fail_errno("Opening", path);
    return dir;
}

Result<nlohmann::json> list_outputs(const std::string& logs_dir, const std::string& instance) {
    std::vector<std::string> urls;
    auto fd = open_directory(logs_dir);
    if (!fd && fd.error().status != Status::not_found) return std::unexpected(std::move(fd).error());
    if (fd) {
        const std::unique_ptr<DIR, CloseOutputs> dir(::fdopendir(fd->get()));
        if (!dir) return fail_errno("Reading", "the recorded outputs");
        (void)fd->release();
        while (const dirent* entry = ::readdir(dir.get())) {
            const std::string name = entry->d_name;
            if (check_name(name))
                urls.push_back(
                    api::public_url(fmt::format("/1.0/instances/{}/logs/exec-output/{}", instance, name)));
        }
    }
    std::ranges::sort(urls);
    return nlohmann::json(urls);
}

Result<Response> open_output(const std::string& logs_dir, const std::string& name) {
    LX_TRY(check_name(name));
    LX_TRY_AS(const UniqueFd dir, open_directory(logs_dir));
    UniqueFd fd(::openat(dir.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat info{};
    if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode))
        return fail(Status::not_found, "Not Found");
    return Response::stream(std::move(fd), static_cast<std::uint64_t>(info.st_size),
                            "application/octet-stream")
        .with_header("Content-Disposition", "inline;filename=" + name);
}

Result<> remove_output(const std::string& logs_dir, const std::string& name) {
    LX_TRY(check_name(name));
    LX_TRY_AS(const UniqueFd dir, open_directory(logs_dir));
    if (::unlinkat(dir.get(), name.c_str(), 0) == 0) return {};
    if (errno == ENOENT) return fail(Status::not_found, "Not Found");
    return fail_errno("Removing", name);
}

/// The log directory of an instance that exists.
Result<std::string> logs_of(const Request& request, Services& services) {
    LX_TRY(check_project(request));
    LX_TRY(services.exec_target.console_log(request.path_arg("name")));
    return services.exec_target.logs_dir(request.path_arg("name"));
}

Handled outputs_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto logs, logs_of(request, services));
    auto read = [logs, instance = request.path_arg("name")] { return list_outputs(logs, instance); };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(const auto urls, co_await std::move(pending));
    co_return Response::sync(urls);
}

Handled output_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto logs, logs_of(request, services));
    auto open = [logs, file = request.path_arg("file")] { return open_output(logs, file); };
    auto pending = on_worker(services, std::move(open));
    co_return co_await std::move(pending);
}

Handled output_delete(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto logs, logs_of(request, services));
    auto remove = [logs, file = request.path_arg("file")] { return remove_output(logs, file); };
    auto pending = on_worker(services, std::move(remove));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::empty();
}

constexpr Route kExecOutputRoutes[] = {
    {Verb::get, "/1.0/instances/{name}/logs/exec-output", Access::can_view, outputs_get},
    {Verb::get, "/1.0/instances/{name}/logs/exec-output/{file}", Access::can_view, output_get},
    {Verb::del, "/1.0/instances/{name}/logs/exec-output/{file}", Access::can_edit, output_delete},
};

}  // namespace

std::span<const Route> exec_output_routes() { return kExecOutputRoutes; }

}  // namespace lxmgr::rest
