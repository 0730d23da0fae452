#include <fcntl.h>
#include <stdio.h>

#include "lxd-daemon/sys/cgroup.h"
#include "lxd-daemon/sys/cgroup_files.h"

/// Groups beside the containers': of helpers, and of the monitor that waits for the next start.
namespace lxmgr::sys {
namespace {

/// Makes the group in each of these directories. @return the cgroup.procs files, open for writing
Result<std::vector<UniqueFd>> procs_in(const std::vector<int>& parents, const char* group) {
    std::vector<UniqueFd> files;
    for (const int parent : parents) {
        LX_TRY_AS(const UniqueFd place, make_group(parent, group));
        files.emplace_back(::openat(place.get(), "cgroup.procs", O_WRONLY | O_CLOEXEC));
        if (!files.back()) return fail_errno("Opening cgroup.procs of", group);
    }
    return files;
}

}  // namespace

std::vector<int> Cgroups::everywhere() const {
    std::vector<int> parents;
    for (const std::string_view controller : kEverywhere) {
        const Hierarchy* const hierarchy = v1(controller);
        if (hierarchy != nullptr && !holds(parents, hierarchy->parent.get()))
            parents.push_back(hierarchy->parent.get());
    }
    return parents;
}

Result<std::vector<UniqueFd>> Cgroups::keeper_procs() const {
    std::vector<int> parents = everywhere();
    parents.push_back(unified_.get());
    return procs_in(parents, kKeepers);
}

Result<std::vector<UniqueFd>> Cgroups::make_spare() { return procs_in(everywhere(), kSpare); }

Result<> Cgroups::take_spare(const std::string& name) {
    const std::vector<int> parents = everywhere();
    for (std::size_t i = 0; i < parents.size(); ++i) {
        if (::renameat(parents[i], kSpare, parents[i], name.c_str()) == 0) continue;
        const auto error = fail_errno("Renaming a spare cgroup to", name);
        while (i-- > 0) (void)::renameat(parents[i], name.c_str(), parents[i], kSpare);
        return error;
    }
    return {};
}

Result<> Cgroups::remove_spare() {
    for (const int parent : everywhere()) LX_TRY(remove_group(parent, kSpare));
    return {};
}

}  // namespace lxmgr::sys
