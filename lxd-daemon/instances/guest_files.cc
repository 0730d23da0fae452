#include "lxd-daemon/instances/guest_files.h"

#include <algorithm>

#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/context.h"

namespace lxmgr::instances {
namespace {

bool is_running(const Context& context, const std::string& name) {
    const auto status = context.live.get(name).status;
    return status == api::StatusCode::running || status == api::StatusCode::frozen;
}

std::optional<std::string> told_as(const std::optional<Error>& problem) {
    if (!problem) return std::nullopt;
    if (problem->status != Status::not_found) return problem->message;
    return "lxcfs is not installed (Debian package lxcfs): instances see the host's memory, CPUs, "
           "uptime and load in /proc";
}

void renew_files(Context& context, const std::string& name) {
    for (const auto& file : lxcfs_files(context)) {
        auto& runtime = context.deps.runtime;
        auto renewed = runtime.detach(name, file.target, false);
        if (renewed) renewed = runtime.attach(name, {file.mount.get(), file.target, false});
        if (renewed) continue;
        if (is_running(context, name)) {
            log::warn("instance has no files of the new lxcfs",
                      {{"instance", name}, {"error", renewed.error().message}});
        }
        return;
    }
}

}  // namespace

runtime::Lxcfs::Hooks lxcfs_hooks(Context& context) {
    runtime::Lxcfs::Hooks hooks;
    hooks.keep = [&context](pid_t pid) {
        if (auto kept = context.deps.runtime.keep(pid); !kept)
            log::warn("lxcfs stays in the daemon's cgroup", {{"error", kept.error().message}});
    };
    hooks.changed = [&context](const std::optional<Error>& problem) {
        context.lxcfs_problem.note(context, told_as(problem));
    };
    hooks.renewed = [&context] {
        log::warn("lxcfs had ended and runs again");
        for (const auto& record : context.rows().list()) {
            if (is_running(context, record->name)) renew_files(context, record->name);
        }
    };
    return hooks;
}

std::vector<runtime::LxcfsFile> lxcfs_files(Context& context) {
    auto files = context.lxcfs.clone_files();
    return files ? *std::move(files) : std::vector<runtime::LxcfsFile>();
}

void recover_lxcfs(Context& context) {
    const auto records = context.rows().list();
    const bool any = std::ranges::any_of(
        records, [&context](const auto& record) { return is_running(context, record->name); });
    if (any) context.lxcfs.recover();
}

void end_idle_lxcfs(Context& context) {
    const auto records = context.rows().list();
    const bool idle = std::ranges::all_of(records, [&context](const auto& record) {
        return context.live.get(record->name).status == api::StatusCode::stopped;
    });
    if (idle) context.lxcfs.end();
}

}  // namespace lxmgr::instances
