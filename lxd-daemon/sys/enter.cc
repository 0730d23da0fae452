#include "lxd-daemon/sys/enter.h"

#include <fmt/format.h>
#include <sched.h>

#include <system_error>
#include <thread>

namespace lxmgr::sys {
namespace {

Result<> on_own_thread(const std::function<Result<>()>& enter, const std::function<Result<>()>& work) {
    Result<> done;
    try {
        std::thread([&] {
            done = enter();
            if (done) done = work();
        }).join();
    } catch (const std::system_error& error) {
        return fail(Status::unavailable, fmt::format("Entering a namespace: {}", error.what()));
    }
    return done;
}

}  // namespace

Result<> in_mount_namespace(int mntns_fd, const std::function<Result<>()>& work) {
    const auto enter = [mntns_fd]() -> Result<> {
        // A thread that shares its root and working directory with others cannot move, setns(2).
        if (::unshare(CLONE_FS) != 0) return fail_errno("unshare", "CLONE_FS");
        if (::setns(mntns_fd, CLONE_NEWNS) != 0) return fail_errno("setns", "mount namespace");
        return {};
    };
    return on_own_thread(enter, work);
}

Result<> in_network_namespace(int netns_fd, const std::function<Result<>()>& work) {
    const auto enter = [netns_fd]() -> Result<> {
        if (::setns(netns_fd, CLONE_NEWNET) != 0) return fail_errno("setns", "network namespace");
        return {};
    };
    return on_own_thread(enter, work);
}

}  // namespace lxmgr::sys
