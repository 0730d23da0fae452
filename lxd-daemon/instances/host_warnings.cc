#include "lxd-daemon/instances/host_warnings.h"

#include <algorithm>

#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/context.h"

namespace lxmgr::instances {
namespace {

constexpr int kModerateWarning = 2;

bool is_warning_open(const database::Warnings& warnings, const char* type) {
    constexpr int kResolved = 3;
    const auto all = warnings.list();
    return all && std::ranges::any_of(*all, [type](const database::WarningRecord& warning) {
               return warning.type == type && warning.status != kResolved;
           });
}

}  // namespace

void HostProblem::note(const Context& context, const std::optional<std::string>& problem) {
    const std::lock_guard lock(mutex_);
    auto& warnings = context.deps.database.warnings();
    Result<> stored;
    if (problem && *problem != told_) {
        log::warn(warning_, {{"error", *problem}});
        stored = warnings.raise(warning_, kModerateWarning, "", *problem);
    } else if (!problem && is_warning_open(warnings, warning_)) {
        stored = warnings.resolve(warning_, "");
    }
    told_ = problem.value_or("");
    if (!stored) log::error("warning not recorded", {{"error", stored.error().message}});
}

bool HostProblem::is_told() {
    const std::lock_guard lock(mutex_);
    return !told_.empty();
}

}  // namespace lxmgr::instances
