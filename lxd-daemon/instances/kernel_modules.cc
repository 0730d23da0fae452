#include "lxd-daemon/instances/kernel_modules.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::instances {
namespace {

/// Built in or loaded: /sys/module has a folder for it, with "_" for "-".
bool has_module(std::string name) {
    std::ranges::replace(name, '-', '_');
    return ::access(("/sys/module/" + name).c_str(), F_OK) == 0;
}

}  // namespace

Result<> load_kernel_modules(const api::ConfigMap& expanded) {
    const auto* const list = api::find_value(expanded, "linux.kernel_modules");
    if (list == nullptr) return {};
    for (const std::string& entry : split(*list, ',')) {
        const std::string name(trim(entry));
        if (name.empty() || has_module(name)) continue;
        // -b: the host's own blacklist holds.
        auto loaded = run_checked({.argv = {"modprobe", "-b", "--", name}});
        if (!loaded)
            return fail(Status::bad_request,
                        fmt::format("linux.kernel_modules: '{}' cannot be loaded on this host: {}", name,
                                    loaded.error().message));
    }
    return {};
}

}  // namespace lxmgr::instances
