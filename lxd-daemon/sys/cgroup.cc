#include "lxd-daemon/sys/cgroup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <set>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/sys/cgroup_files.h"
#include "lxd-daemon/sys/cgroup_parent.h"
#include "lxd-daemon/sys/mount.h"

namespace lxmgr::sys {
namespace {

constexpr int kMaxPasses = 16;
/// Hierarchy of a v1 service manager, without a controller.
constexpr std::string_view kNamed = "name=systemd";
/// Of cgroup v1; some for their limits, the others for create_v1_everywhere().
constexpr std::string_view kControllers[] = {"memory",   "pids",    "cpu",     "cpuset",    "blkio",
                                             "hugetlb",  "devices", "freezer", "cpuacct",   "net_cls",
                                             "net_prio", "rdma",    "misc",    "perf_event"};

/// mountinfo(5) writes space, tab, newline and backslash as \ooo.
std::string unescape(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size()) {
            out +=
                static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
            i += 3;
        } else {
            out += text[i];
        }
    }
    return out;
}

struct MountLine {
    std::string mount_point, type, super_options;
};

std::vector<MountLine> cgroup_mounts(std::string_view mountinfo) {
    std::vector<MountLine> found;
    for (const std::string& line : split(mountinfo, '\n')) {
        const std::vector<std::string> fields = split(line, ' ');
        const auto dash = std::ranges::find(fields, "-");
        if (fields.size() < 10 || fields.end() - dash < 4) continue;
        if (dash[1] == "cgroup" || dash[1] == "cgroup2")
            found.push_back({unescape(fields[4]), dash[1], dash[3]});
    }
    return found;
}

/// This process's own path in the v1 hierarchy that has the controller, or in cgroup2 (""); cgroups(7),
/// /proc/PID/cgroup.
std::string own_path(std::string_view controller) {
    const auto text = read_file("/proc/self/cgroup");
    if (!text) return {};
    for (const std::string& line : split(*text, '\n')) {
        const auto first = line.find(':');
        const auto second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const auto controllers = split(std::string_view(line).substr(first + 1, second - first - 1), ',');
        if (holds(controllers, controller)) return line.substr(second + 1);
    }
    return {};
}

/// The kernel has the hierarchy even where nobody mounted it, as on a pure v1 host.
Result<UniqueFd> mount_unified() {
    auto context = FsContext::open("cgroup2");
    if (!context)
        return std::unexpected(in("This host has no cgroup2, which guests need", std::move(context).error()));
    LX_TRY(context->create());
    return context->mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

Result<> remove_parent_in(int root, const std::string& parent) {
    for (const std::string& path :
         {fmt::format("{}/{}", parent, kKeepers), fmt::format("{}/{}", parent, kSpare), parent}) {
        if (::unlinkat(root, path.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) continue;
        if (errno == EBUSY || errno == ENOTEMPTY) return {};
        return fail_errno("Removing the cgroup", path);
    }
    return {};
}

/// Of sums that are made and written; a sum of earlier must not be written later.
std::mutex& memory_low_mutex() {
    static std::mutex mutex;
    return mutex;
}

}  // namespace

Result<> remove_cgroup_parent(const std::string& parent) {
    LX_TRY_AS(const std::string mountinfo, read_file("/proc/self/mountinfo"));
    bool is_mounted = false;
    for (const MountLine& mount : cgroup_mounts(mountinfo)) {
        const UniqueFd root(::open(mount.mount_point.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!root) return fail_errno("Opening", mount.mount_point);
        LX_TRY(remove_parent_in(root.get(), parent));
        is_mounted = is_mounted || mount.type == "cgroup2";
    }
    if (is_mounted) return {};
    LX_TRY_AS(const UniqueFd root, mount_unified());
    return remove_parent_in(root.get(), parent);
}

Result<Cgroups> Cgroups::open(const std::string& parent) {
    Cgroups cgroups;
    LX_TRY_AS(const std::string mountinfo, read_file("/proc/self/mountinfo"));
    for (const MountLine& mount : cgroup_mounts(mountinfo)) {
        if (mount.type == "cgroup") {
            LX_TRY(cgroups.open_v1(mount.mount_point, mount.super_options, parent));
        } else if (!cgroups.root_) {
            LX_TRY(cgroups.open_unified(mount.mount_point, parent));
        }
    }
    if (!cgroups.root_) LX_TRY(cgroups.open_unified("", parent));
    const auto delegate = read_file("/sys/kernel/cgroup/delegate");
    cgroups.delegated_ = {"cgroup.procs", "cgroup.threads", "cgroup.subtree_control"};
    for (const std::string& file : split(delegate.value_or(""), '\n')) {
        if (!file.empty() && !holds(cgroups.delegated_, file)) cgroups.delegated_.push_back(file);
    }
    return cgroups;
}

Result<> Cgroups::open_unified(const std::string& mount_point, const std::string& parent) {
    if (mount_point.empty()) {
        LX_TRY_AS(root_, mount_unified());
    } else {
        root_.reset(::open(mount_point.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!root_) return fail_errno("Opening", mount_point);
    }
    LX_TRY_AS(unified_, make_group(root_.get(), parent));
    enable_controllers(root_.get());
    return {};
}

void Cgroups::enable_controllers(int root) {
    const auto available = read_at(root, "cgroup.controllers");
    for (const std::string_view controller : {"cpuset", "cpu", "io", "memory", "pids", "hugetlb"}) {
        if (!available || !holds(split(trim(*available), ' '), controller)) continue;
        // One at a time: what cannot be had must not keep the others off.
        const std::string enable = fmt::format("+{}", controller);
        const auto above = write_at(root, "cgroup.subtree_control", enable);
        const auto ours = write_at(unified_.get(), "cgroup.subtree_control", enable);
        if (ours) v2_controllers_.emplace_back(controller);
    }
}

Result<> Cgroups::open_v1(const std::string& mount_point, const std::string& options,
                          const std::string& parent) {
    std::vector<std::string> here;
    for (const std::string& option : split(options, ',')) {
        if ((holds(kControllers, option) || option == kNamed) && !v1_controllers_.contains(option))
            here.push_back(option);
    }
    // A named hierarchy matters only where a service manager has put us somewhere in it.
    if (here.empty() || (here.front() == kNamed && own_path(kNamed).size() <= 1)) return {};
    const UniqueFd root(::open(mount_point.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root) return fail_errno("Opening", mount_point);
    LX_TRY_AS(UniqueFd ours, make_group(root.get(), parent));
    if (holds(here, "cpuset")) LX_TRY(inherit_cpuset(root.get(), ours.get()));
    hierarchies_.push_back({mount_point, std::move(ours)});
    for (const std::string& controller : here) v1_controllers_[controller] = hierarchies_.size() - 1;
    return {};
}

Cgroups::Home Cgroups::home(std::string_view controller) const {
    if (v1(controller) != nullptr) return Home::v1;
    return holds(v2_controllers_, controller) ? Home::v2 : Home::none;
}

const Cgroups::Hierarchy* Cgroups::v1(std::string_view controller) const {
    const auto found = v1_controllers_.find(controller);
    return found == v1_controllers_.end() ? nullptr : &hierarchies_[found->second];
}

int Cgroups::directory(std::string_view controller) const {
    const Hierarchy* const hierarchy = v1(controller);
    return hierarchy == nullptr ? unified_.get() : hierarchy->parent.get();
}

Result<UniqueFd> Cgroups::create(const std::string& name, uid_t owner, gid_t group) {
    LX_TRY_AS(UniqueFd fd, make_group(unified_.get(), name));
    if (::fchown(fd.get(), owner, group) != 0) return fail_errno("chown of cgroup", name);
    for (const std::string& file : delegated_) {
        if (::fchownat(fd.get(), file.c_str(), owner, group, AT_SYMLINK_NOFOLLOW) != 0 && errno != ENOENT) {
            return fail_errno("chown", fmt::format("of {} of cgroup {}", file, name));
        }
    }
    return fd;
}

Result<> Cgroups::create_v1(const std::string& name, std::string_view controller) {
    const Hierarchy* const hierarchy = v1(controller);
    if (hierarchy == nullptr) return {};
    LX_TRY_AS(const UniqueFd made, make_group(hierarchy->parent.get(), name));
    const Hierarchy* const cpuset = v1("cpuset");
    if (cpuset == hierarchy) LX_TRY(inherit_cpuset(hierarchy->parent.get(), made.get()));
    return {};
}

Result<> Cgroups::create_v1_everywhere(const std::string& name) {
    for (const auto& [controller, hierarchy] : v1_controllers_) LX_TRY(create_v1(name, controller));
    return {};
}

bool Cgroups::has_v1(const std::string& name, std::string_view controller) const {
    const Hierarchy* const hierarchy = v1(controller);
    return hierarchy != nullptr &&
           ::faccessat(hierarchy->parent.get(), name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

Result<std::vector<UniqueFd>> Cgroups::v1_procs(const std::string& name) const {
    std::vector<UniqueFd> files;
    for (const Hierarchy& hierarchy : hierarchies_) {
        UniqueFd file(
            ::openat(hierarchy.parent.get(), (name + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
        if (!file && errno == ENOENT) continue;
        if (!file) return fail_errno("Opening cgroup.procs of", hierarchy.mount_point + "/" + name);
        files.push_back(std::move(file));
    }
    return files;
}

Result<std::vector<pid_t>> Cgroups::processes(const std::string& name) const {
    return processes_below(unified_.get(), name);
}

Result<std::vector<pid_t>> Cgroups::processes_anywhere(const std::string& name) const {
    LX_TRY_AS(std::vector<pid_t> pids, processes_below(unified_.get(), name));
    for (const Hierarchy& hierarchy : hierarchies_) {
        LX_TRY_AS(const std::vector<pid_t> more, processes_below(hierarchy.parent.get(), name));
        pids.insert(pids.end(), more.begin(), more.end());
    }
    std::ranges::sort(pids);
    pids.erase(std::ranges::unique(pids).begin(), pids.end());
    return pids;
}

Result<> Cgroups::gather_v1(const std::string& name, std::string_view controller) {
    const Hierarchy* const hierarchy = v1(controller);
    if (hierarchy == nullptr) return {};
    std::set<pid_t> moved;
    // A child forked before its parent was moved shows in the next pass; later ones are born in the right
    // place, so a guest that forks without end must not keep us here.
    bool again = true;
    for (int pass = 0; again && pass < kMaxPasses; ++pass) {
        again = false;
        LX_TRY_AS(const std::vector<pid_t> pids, processes_below(unified_.get(), name));
        for (const pid_t pid : pids) {
            if (!moved.insert(pid).second) continue;
            again = true;
            auto written = write_at(hierarchy->parent.get(), name + "/cgroup.procs", std::to_string(pid));
            if (!written && written.error().sys_errno != ESRCH) return written;
        }
    }
    return {};
}

Result<std::string> Cgroups::read(const std::string& name, std::string_view controller,
                                  const std::string& file) const {
    return read_at(directory(controller), name + "/" + file);
}

Result<> Cgroups::write(const std::string& name, std::string_view controller, const std::string& file,
                        std::string_view text) const {
    return write_at(directory(controller), name + "/" + file, text);
}

Result<std::string> Cgroups::read_parent(std::string_view controller, const std::string& file) const {
    return read_at(directory(controller), file);
}

Result<> Cgroups::pass_memory_low() const {
    if (home("memory") != Home::v2) return {};
    const std::lock_guard lock(memory_low_mutex());
    std::uint64_t sum = 0;
    for (const std::string& name : groups_in(unified_.get(), ".")) {
        const auto low = read_at(unified_.get(), name + "/memory.low");
        sum += parse_uint(trim(low.value_or(""))).value_or(0);
    }
    return write_at(unified_.get(), "memory.low", std::to_string(sum));
}

Result<> Cgroups::freeze(const std::string& name, bool frozen, std::chrono::milliseconds timeout) {
    LX_TRY(write_at(unified_.get(), name + "/cgroup.freeze", frozen ? "1" : "0"));
    if (wait_event(unified_.get(), name, frozen ? "frozen 1" : "frozen 0", timeout)) return {};
    const auto thawed = write_at(unified_.get(), name + "/cgroup.freeze", "0");
    return fail(Status::internal,
                fmt::format("Freezing '{}' did not finish within {} ms", name, timeout.count()));
}

bool Cgroups::is_frozen(const std::string& name) const {
    return trim(read_at(unified_.get(), name + "/cgroup.freeze").value_or("0")) == "1";
}

Result<UniqueFd> Cgroups::open_group(const std::string& name) const {
    UniqueFd fd(::openat(unified_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return fail_errno("Opening", fmt::format("the cgroup of '{}'", name));
    return fd;
}

Result<> Cgroups::kill(const std::string& name) {
    auto written = write_at(unified_.get(), name + "/cgroup.kill", "1");
    if (!written && written.error().status == Status::not_found && has_entry(unified_.get(), name)) {
        return fail(Status::not_implemented, "The kernel has no cgroup.kill");
    }
    return written;
}

bool Cgroups::wait_empty(const std::string& name, std::chrono::milliseconds timeout) const {
    return wait_event(unified_.get(), name, "populated 0", timeout);
}

Result<> Cgroups::remove(const std::string& name) {
    LX_TRY(remove_group(unified_.get(), name));
    for (const Hierarchy& hierarchy : hierarchies_) LX_TRY(remove_group(hierarchy.parent.get(), name));
    const auto low = read_at(unified_.get(), "memory.low");
    if (low && trim(*low) != "0") static_cast<void>(pass_memory_low().has_value());  // again with the next
    return {};
}

std::vector<std::string> Cgroups::names() const {
    std::set<std::string> all;
    std::vector<int> parents{unified_.get()};
    for (const Hierarchy& hierarchy : hierarchies_) parents.push_back(hierarchy.parent.get());
    for (const int parent : parents) {
        for (std::string& name : groups_in(parent, ".")) {
            if (!name.starts_with('.')) all.insert(std::move(name));
        }
    }
    return {all.begin(), all.end()};
}

void Cgroups::warm() const {
    const std::string_view controller = v1("pids") != nullptr     ? "pids"
                                        : v1("memory") != nullptr ? "memory"
                                                                  : "";
    const std::string procs = own_path(controller) + "/cgroup.procs";
    const std::string self = std::to_string(::getpid());
    if (const Hierarchy* const hierarchy = v1(controller)) {
        const auto moved = write_existing(hierarchy->mount_point + procs, self);
    } else {
        const auto moved = write_at(root_.get(), "." + procs, self);
    }
}

}  // namespace lxmgr::sys
