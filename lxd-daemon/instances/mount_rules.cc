#include "lxd-daemon/instances/mount_rules.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/settings.h"
#include "profiles/fuse_programs.h"

namespace lxmgr::instances {
namespace {

const std::string kIntercept = "security.syscalls.intercept.mount";

}  // namespace

Result<std::string> mount_rules(const api::ConfigMap& expanded) {
    if (!flag_of(expanded, kIntercept.c_str())) return std::string();
    std::string out;
    std::vector<std::string> allowed;
    if (const auto list = api::value_of(expanded, kIntercept + ".allowed"); !list.empty()) {
        for (const std::string& name : split(list, ',')) {
            allowed.emplace_back(trim(name));
            out += fmt::format("kernel {}\n", allowed.back());
        }
    }
    if (const auto list = api::value_of(expanded, kIntercept + ".fuse"); !list.empty()) {
        LX_TRY_AS(const auto programs, profiles::parse_fuse_programs(list));
        for (const auto& one : programs) {
            if (std::ranges::find(allowed, one.filesystem) != allowed.end())
                return fail(Status::bad_request, fmt::format("{0}.fuse and {0}.allowed both name '{1}'",
                                                             kIntercept, one.filesystem));
            out += fmt::format("fuse {} {}\n", one.filesystem, one.program);
        }
    }
    if (flag_of(expanded, (kIntercept + ".shift").c_str())) out = "shift\n" + out;
    return out;
}

Result<> write_mount_rules(Context& context, const std::string& name, const api::ConfigMap& expanded) {
    LX_TRY_AS(const std::string rules, mount_rules(expanded));
    const std::string path = context.run_dir(name) + "/mounts";
    if (!rules.empty()) return write_file_atomic(path, rules);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("Removing", path);
    return {};
}

Result<> update_mount_rules(Context& context, const std::string& name, const ExpandedInstance& before,
                            const ExpandedInstance& after, Revert& undo) {
    LX_TRY_AS(const std::string old_rules, mount_rules(before.config));
    LX_TRY_AS(const std::string rules, mount_rules(after.config));
    if (old_rules == rules) return {};
    LX_TRY(write_mount_rules(context, name, after.config));
    undo.add([&context, name, config = before.config] {
        if (auto undone = write_mount_rules(context, name, config); !undone)
            log::warn("mount rules not restored", {{"instance", name}, {"error", undone.error().message}});
    });
    return {};
}

}  // namespace lxmgr::instances
