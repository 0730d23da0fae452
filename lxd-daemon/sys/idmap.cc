#include "lxd-daemon/sys/idmap.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "lxd-daemon/base/files.h"

namespace lxmgr::sys {
namespace {

constexpr std::uint32_t kNobody = 65534;  // /proc/sys/kernel/overflowuid

std::uint32_t host_id(const std::vector<IdRange>& ranges, std::uint32_t id) {
    for (const IdRange& range : ranges) {
        if (id >= range.container_first && id - range.container_first < range.count) {
            return range.host_first + (id - range.container_first);
        }
    }
    return kNobody;
}

/// What the holder of a new namespace does until the map is written. System calls only: it is a fork of a
/// program with threads. It keeps the read end alone, so that it ends with us whatever other holders are
/// being made at the same time.
[[noreturn]] void hold(int read_end) {
    if (read_end > 0) ::syscall(SYS_close_range, 0U, static_cast<unsigned>(read_end) - 1, 0U);
    ::syscall(SYS_close_range, static_cast<unsigned>(read_end) + 1, ~0U, 0U);
    char byte = 0;
    [[maybe_unused]] const auto n = ::syscall(SYS_read, read_end, &byte, 1);
    ::syscall(SYS_exit_group, 0);
    __builtin_unreachable();
}

Result<UniqueFd> map_and_open(pid_t holder, const IdMap& map) {
    LX_TRY(write_existing(fmt::format("/proc/{}/uid_map", holder), IdMap::to_proc(map.uids)));
    LX_TRY(write_existing(fmt::format("/proc/{}/gid_map", holder), IdMap::to_proc(map.gids)));
    UniqueFd fd(::open(fmt::format("/proc/{}/ns/user", holder).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return fail_errno("Opening", "the new user namespace");
    return fd;
}

}  // namespace

IdMap IdMap::host() {
    // As /proc/PID/uid_map shows the initial user namespace.
    return {{{0, 0, UINT32_MAX}}, {{0, 0, UINT32_MAX}}};
}

std::string IdMap::to_proc(const std::vector<IdRange>& ranges) {
    std::string text;
    for (const IdRange& range : ranges) {
        text += fmt::format("{} {} {}\n", range.container_first, range.host_first, range.count);
    }
    return text;
}

std::uint32_t IdMap::host_uid(std::uint32_t uid) const { return host_id(uids, uid); }
std::uint32_t IdMap::host_gid(std::uint32_t gid) const { return host_id(gids, gid); }

Result<UniqueFd> make_user_namespace(const IdMap& map) {
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno("pipe2", "for a user namespace");
    const UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);

    // No exit signal: a SIGCHLD of ours must not disturb who waits for real children. Reaped below with
    // __WALL.
    clone_args args{};
    args.flags = CLONE_NEWUSER;
    const auto holder = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
    if (holder < 0) return fail_errno("clone3", "for a user namespace");
    if (holder == 0) hold(read_end.get());

    Result<UniqueFd> fd = map_and_open(holder, map);
    write_end.reset();
    while (::waitpid(holder, nullptr, __WALL) < 0 && errno == EINTR) {
    }
    if (!fd) return std::unexpected(in("Making a user namespace", std::move(fd).error()));
    return fd;
}

Result<int> IdmapCache::get(const IdMap& map) {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(entries_, map, &std::pair<IdMap, UniqueFd>::first);
    if (found != entries_.end()) return found->second.get();
    LX_TRY_AS(UniqueFd fd, make_user_namespace(map));
    return entries_.emplace_back(map, std::move(fd)).second.get();
}

}  // namespace lxmgr::sys
