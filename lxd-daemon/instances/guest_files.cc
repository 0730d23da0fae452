#include "lxd-daemon/instances/guest_files.h"

#include <algorithm>

#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/context.h"

namespace lxmgr::instances {
namespace {

constexpr const char* kWarning = "LXCFS is not available";
constexpr int kModerate = 2;

bool is_running(const Context& context, const std::string& name) {
    const auto status = context.live.get(name).status;
    return status == api::StatusCode::running || status == api::StatusCode::frozen;
}

bool is_open(const database::Warnings& warnings) {
    constexpr int kResolved = 3;
    const auto all = warnings.list();
    return all && std::ranges::any_of(*all, [](const database::WarningRecord& warning) {
               return warning.type == kWarning && warning.status != kResolved;
           });
}

/// Resolves the warning of earlier times, or raises it: once for each problem of this daemon's life.
void note(Context& context, const std::optional<Error>& problem, std::string& known) {
    auto& warnings = context.deps.database.warnings();
    Result<> stored;
    if (problem && problem->message != known) {
        const std::string message =
            problem->status == Status::not_found
                ? "lxcfs is not installed (Debian package lxcfs): instances see the host's memory, CPUs, "
                  "uptime and load in /proc"
                : problem->message;
        log::warn("lxcfs is not available", {{"error", message}});
        stored = warnings.raise(kWarning, kModerate, "", message);
    } else if (!problem && is_open(warnings)) {
        stored = warnings.resolve(kWarning, "");
    }
    known = problem ? problem->message : "";
    if (!stored) log::error("warning not recorded", {{"error", stored.error().message}});
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
    hooks.changed = [&context, known = std::string()](const std::optional<Error>& problem) mutable {
        note(context, problem, known);
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
