#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/failure_log.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest {
namespace {

struct CloseLogs {
    void operator()(DIR* dir) const { ::closedir(dir); }
};

/// Log files are the daemon's own; a name from a client is still never more than one component.
Result<> check_file_name(const std::string& name) {
    const bool plain =
        !name.empty() && name.front() != '.' && !name.contains('/') && !has_control_chars(name);
    return plain ? Result<>{}
                 : fail(Status::bad_request, fmt::format("Log file name '{}' is not valid", name));
}

Result<UniqueFd> open_log_dir(Services& services, const std::string& instance) {
    LX_TRY(services.instances->require(instance));
    UniqueFd dir(::open(services.instances->log_dir(instance).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!dir && errno != ENOENT) return fail_errno("Opening", "the log directory");
    return dir;
}

Result<nlohmann::json> list_logs(Services& services, const std::string& instance) {
    LX_TRY_AS(UniqueFd fd, open_log_dir(services, instance));
    std::vector<std::string> names;
    if (fd) {
        const std::unique_ptr<DIR, CloseLogs> dir(::fdopendir(fd.get()));
        if (!dir) return fail_errno("Reading", "the log directory");
        const int dir_fd = fd.release();
        while (const dirent* entry = ::readdir(dir.get())) {
            struct stat st{};
            const bool regular =
                ::fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
            if (regular)
                names.push_back(
                    api::public_url(fmt::format("/1.0/instances/{}/logs/{}", instance, entry->d_name)));
        }
    }
    // Clients read it without looking whether it is there: `lxc info --show-log`.
    const auto failures =
        api::public_url(fmt::format("/1.0/instances/{}/logs/{}", instance, instances::kFailureLog));
    if (std::ranges::find(names, failures) == names.end()) names.push_back(failures);
    std::ranges::sort(names);
    return nlohmann::json(names);
}

Result<Response> open_log(Services& services, const std::string& instance, const std::string& file) {
    LX_TRY(check_file_name(file));
    LX_TRY_AS(const UniqueFd dir, open_log_dir(services, instance));
    UniqueFd fd(dir ? ::openat(dir.get(), file.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1);
    if (!fd && (!dir || errno == ENOENT) && file == instances::kFailureLog)
        fd.reset(::memfd_create("lxmgr-log", MFD_CLOEXEC));
    struct stat st{};
    if (!fd || ::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode))
        return fail(Status::not_found, "Not Found");
    auto response =
        Response::stream(std::move(fd), static_cast<std::uint64_t>(st.st_size), "application/octet-stream");
    return std::move(response).with_header("Content-Disposition", fmt::format("inline;filename={}", file));
}

/// Of a stopped instance: what is still written to cannot be deleted, and DELETE .../console clears it.
Result<> remove_log(Services& services, const std::string& instance, const std::string& file) {
    LX_TRY(check_file_name(file));
    LX_TRY_AS(const UniqueFd dir, open_log_dir(services, instance));
    if (!dir) return fail(Status::not_found, "Not Found");
    struct stat st{};
    if (::fstatat(dir.get(), file.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return fail(Status::not_found, "Not Found");
    if (services.instances->status(instance) != api::StatusCode::stopped) {
        return fail(Status::bad_request,
                    fmt::format("Log file '{}' is in use while the instance runs", file));
    }
    if (::unlinkat(dir.get(), file.c_str(), 0) != 0 && errno != ENOENT) return fail_errno("Removing", file);
    return {};
}

Handled logs_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    auto read = [&services, name = request.path_arg("name")] { return list_logs(services, name); };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(const auto names, co_await std::move(pending));
    co_return Response::sync(names);
}

Handled log_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    auto open = [&services, name = request.path_arg("name"), file = request.path_arg("file")] {
        return open_log(services, name, file);
    };
    auto pending = on_worker(services, std::move(open));
    co_return co_await std::move(pending);
}

Handled log_delete(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    auto remove = [&services, name = request.path_arg("name"), file = request.path_arg("file"),
                   requestor = request.requestor_json]() -> Result<> {
        LX_TRY(remove_log(services, name, file));
        services.instances->lifecycle("instance-log-deleted", name, requestor, {{"file", file}});
        return {};
    };
    auto pending = on_worker(services, std::move(remove));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::empty();
}

constexpr Route kInstanceLogsRoutes[] = {
    {Verb::get, "/1.0/instances/{name}/logs", Access::can_view, logs_get},
    {Verb::get, "/1.0/instances/{name}/logs/{file}", Access::can_view, log_get},
    {Verb::del, "/1.0/instances/{name}/logs/{file}", Access::can_edit, log_delete},
};

}  // namespace

std::span<const Route> instance_log_routes() { return kInstanceLogsRoutes; }

}  // namespace lxmgr::rest
