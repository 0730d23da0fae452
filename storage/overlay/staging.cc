#include "storage/overlay/staging.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lxd-daemon/sys/mount.h"

namespace lxmgr::storage {
namespace {

Result<UniqueFd> make_tmpfs() {
    LX_TRY_AS(auto context, sys::FsContext::open("tmpfs"));
    LX_TRY(context.set("source", "lxmgr-staging"));
    LX_TRY(context.set("mode", "0700"));
    LX_TRY(context.set("size", "65536"));
    LX_TRY(context.create());
    LX_TRY_AS(UniqueFd root, context.mount());
    for (const char* path : {Staging::kLower, Staging::kVolume}) {
        if (::mkdirat(root.get(), path + 1, 0700) != 0) return fail_errno("mkdir", path);
    }
    return root;
}

/// Leaves this thread alone in a mount namespace whose only mount is the tmpfs.
Result<> enter() {
    LX_TRY_AS(const UniqueFd root, make_tmpfs());
    if (::unshare(CLONE_FS | CLONE_NEWNS) != 0) return fail_errno("unshare", "(mount namespace)");
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
        return fail_errno("mount", "/ as private");
    // Any directory that surely exists: in this namespace it is on its way out.
    LX_TRY_AS(auto attached, sys::attach_mount(root.get(), "/proc"));
    attached.keep();
    if (::fchdir(root.get()) != 0) return fail_errno("fchdir", "staging");
    if (::syscall(SYS_pivot_root, ".", ".") != 0) return fail_errno("pivot_root", "staging");
    if (::umount2(".", MNT_DETACH) != 0) return fail_errno("umount2", "the old root of staging");
    if (::chdir("/") != 0) return fail_errno("chdir", "staging");
    return {};
}

}  // namespace

Staging::~Staging() {
    if (!thread_.joinable()) return;
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

Result<UniqueFd> Staging::run(const Work& work) {
    const std::lock_guard one(callers_);
    std::unique_lock lock(mutex_);
    if (!thread_.joinable()) thread_ = std::thread([this] { serve(); });
    work_ = &work;
    result_.reset();
    changed_.notify_all();
    changed_.wait(lock, [this] { return result_.has_value(); });
    return *std::move(result_);
}

void Staging::serve() {
    const Result<> entered = enter();
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return ending_ || work_ != nullptr; });
        if (ending_) return;
        if (entered) {
            result_.emplace((*work_)());
        } else {
            result_.emplace(
                std::unexpected(in("Making the staging place for overlay layers", entered.error())));
        }
        work_ = nullptr;
        changed_.notify_all();
    }
}

}  // namespace lxmgr::storage
