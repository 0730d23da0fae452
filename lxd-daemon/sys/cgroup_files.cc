#include "lxd-daemon/sys/cgroup_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::sys {
namespace {

struct CloseDir {
    void operator()(DIR* dir) const { ::closedir(dir); }
};

std::unexpected<Error> failed(std::string_view doing, const std::string& path) {
    const bool absent = errno == ENOENT || errno == ENODEV;  // ENODEV: removed after it was opened
    auto error = fail_errno(doing, "cgroup file " + path);
    if (absent) error.error().status = Status::not_found;
    return error;
}

Result<std::string> read_all(int fd, const std::string& path) {
    std::string text;
    std::array<char, 4096> buffer;
    for (;;) {
        const ssize_t n = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(text.size()));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return failed("Reading", path);
        if (n == 0) return text;
        text.append(buffer.data(), static_cast<std::size_t>(n));
    }
}

}  // namespace

Result<std::string> read_at(int dir, const std::string& path) {
    const UniqueFd fd(::openat(dir, path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd) return failed("Opening", path);
    return read_all(fd.get(), path);
}

Result<> write_at(int dir, const std::string& path, std::string_view text) {
    const UniqueFd fd(::openat(dir, path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd) return failed("Opening", path);
    if (::write(fd.get(), text.data(), text.size()) < 0)
        return failed(fmt::format("Writing '{}' to", text), path);
    return {};
}

bool has_entry(int dir, const std::string& name) {
    return ::faccessat(dir, name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

Result<UniqueFd> make_group(int parent, const std::string& name) {
    if (::mkdirat(parent, name.c_str(), 0755) != 0 && errno != EEXIST) return failed("Making", name);
    UniqueFd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd) return failed("Opening", name);
    return fd;
}

std::vector<std::string> groups_in(int parent, const std::string& name) {
    UniqueFd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    const std::unique_ptr<DIR, CloseDir> dir(fd ? ::fdopendir(fd.get()) : nullptr);
    std::vector<std::string> found;
    if (!dir) return found;
    (void)fd.release();
    while (const dirent* entry = ::readdir(dir.get())) {
        const std::string_view entry_name = entry->d_name;
        if (entry->d_type == DT_DIR && entry_name != "." && entry_name != "..")
            found.emplace_back(entry_name);
    }
    return found;
}

Result<> remove_group(int parent, const std::string& name) {
    // Most have no children: then this is all.
    if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
    std::vector<std::string> order{name};
    for (std::size_t i = 0; i < order.size(); ++i) {
        const std::string above = order[i];
        for (const std::string& child : groups_in(parent, above)) order.push_back(above + "/" + child);
    }
    for (auto path = order.rbegin(); path != order.rend(); ++path) {
        if (::unlinkat(parent, path->c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
            return failed("Removing", *path);
    }
    return {};
}

Result<std::vector<pid_t>> processes_below(int parent, const std::string& name) {
    std::vector<pid_t> pids;
    std::vector<std::string> order{name};
    for (std::size_t i = 0; i < order.size(); ++i) {
        const std::string here = order[i];
        for (const std::string& child : groups_in(parent, here)) order.push_back(here + "/" + child);
        const auto text = read_at(parent, here + "/cgroup.procs");
        // Threaded groups list none (EOPNOTSUPP): their processes are in the list of the group above.
        if (!text && text.error().status != Status::not_found && text.error().sys_errno != EOPNOTSUPP) {
            return std::unexpected(text.error());
        }
        if (!text) continue;
        for (const std::string& line : split(*text, '\n')) {
            if (const auto pid = parse_int(line); pid && *pid > 0) pids.push_back(static_cast<pid_t>(*pid));
        }
    }
    return pids;
}

bool wait_event(int parent, const std::string& name, std::string_view line,
                std::chrono::milliseconds timeout) {
    const UniqueFd events(::openat(parent, (name + "/cgroup.events").c_str(), O_RDONLY | O_CLOEXEC));
    if (!events) return true;
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    for (;;) {
        const auto text = read_all(events.get(), name);
        if (!text || holds(split(*text, '\n'), line)) return true;
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0) return false;
        pollfd changed{events.get(), POLLPRI, 0};
        ::poll(&changed, 1, static_cast<int>(left.count()));
    }
}

Result<> inherit_cpuset(int parent, int group) {
    for (const char* file : {"cpuset.cpus", "cpuset.mems"}) {
        LX_TRY_AS(const std::string own, read_at(group, file));
        if (!trim(own).empty()) continue;
        LX_TRY_AS(const std::string inherited, read_at(parent, file));
        LX_TRY(write_at(group, file, trim(inherited)));
    }
    return {};
}

}  // namespace lxmgr::sys
