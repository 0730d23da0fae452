#include "storage/limits/project_quota.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lxd-daemon/base/own.h"
#include "storage/tree/list.h"

namespace lxmgr::storage {
namespace {

constexpr unsigned kFirstProject = 0x40000000;  // below are those that people number themselves
constexpr unsigned kBlock = 1024;               // QIF_DQBLKSIZE
constexpr int kTries = 100;

long quotactl_fd(int fd, int command, std::uint32_t id, void* data) {
    return ::syscall(SYS_quotactl_fd, fd, QCMD(command, PRJQUOTA), id, data);
}

Result<if_dqblk> read_quota(int dir_fd, std::uint32_t project) {
    if_dqblk block{};
    if (quotactl_fd(dir_fd, Q_GETQUOTA, project, &block) == 0) return block;
    if (errno == ENOENT || errno == ESRCH) return if_dqblk{};  // xfs: never used
    return fail_errno_at("Reading the project quota of", dir_fd, "");
}

Result<> set_project(int fd, std::uint32_t project, bool inherits) {
    fsxattr attributes{};
    if (::ioctl(fd, FS_IOC_FSGETXATTR, &attributes) != 0) return fail_errno_at("FSGETXATTR", fd, "");
    attributes.fsx_projid = project;
    if (inherits) attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
    if (::ioctl(fd, FS_IOC_FSSETXATTR, &attributes) != 0) return fail_errno_at("FSSETXATTR", fd, "");
    return {};
}

Result<> assign_below(int dir_fd, std::uint32_t project, int depth);

Result<> assign_entry(int dir_fd, const Entry& entry, std::uint32_t project, int depth) {
    if (entry.type != DT_REG && entry.type != DT_DIR && entry.type != DT_UNKNOWN) return {};
    // O_NONBLOCK: a fifo that took the file's place meanwhile must not hang the daemon.
    const UniqueFd fd(
        ::openat(dir_fd, entry.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!fd && (errno == ENOENT || errno == ELOOP || errno == ENXIO)) return {};
    if (!fd) return fail_errno_at("Opening", dir_fd, entry.name);
    struct stat st{};
    if (::fstat(fd.get(), &st) != 0) return fail_errno_at("fstat", dir_fd, entry.name);
    if (!S_ISDIR(st.st_mode)) return S_ISREG(st.st_mode) ? set_project(fd.get(), project, false) : Result<>{};
    LX_TRY(set_project(fd.get(), project, true));
    return assign_below(fd.get(), project, depth + 1);
}

Result<> assign_below(int dir_fd, std::uint32_t project, int depth) {
    if (depth > kMaxTreeDepth) return fail(Status::bad_request, "Directories are nested too deep");
    LX_TRY_AS(const auto entries, list_directory(dir_fd));
    for (const auto& entry : entries) LX_TRY(assign_entry(dir_fd, entry, project, depth));
    return {};
}

}  // namespace

bool enforces_project_quotas(int dir_fd) {
    fs_quota_statv state{};
    state.qs_version = FS_QSTATV_VERSION1;
    return quotactl_fd(dir_fd, Q_XGETQSTATV, 0, &state) == 0 && (state.qs_flags & FS_QUOTA_PDQ_ENFD) != 0;
}

Result<std::uint32_t> project_of(int fd) {
    fsxattr attributes{};
    if (::ioctl(fd, FS_IOC_FSGETXATTR, &attributes) != 0) return fail_errno_at("FSGETXATTR", fd, "");
    return attributes.fsx_projid;
}

Result<std::uint32_t> new_project(int dir_fd) {
    for (int i = 0; i < kTries; ++i) {
        std::uint32_t random = 0;
        if (::getrandom(&random, sizeof random, 0) != sizeof random) return fail_errno("getrandom", "");
        const std::uint32_t id = kFirstProject + (random % kFirstProject);
        LX_TRY_AS(const auto quota, read_quota(dir_fd, id));
        if (quota.dqb_curinodes == 0 && quota.dqb_curspace == 0 && quota.dqb_bhardlimit == 0) return id;
    }
    return fail(Status::internal, "No project id is free on the pool's file system");
}

Result<> assign_project(int root_fd, std::uint32_t project) {
    const UniqueFd root(::openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root) return fail_errno_at("Opening", root_fd, ".");
    LX_TRY(set_project(root.get(), project, true));
    return assign_below(root.get(), project, 1);
}

Result<ProjectUsage> project_usage(int dir_fd, std::uint32_t project) {
    LX_TRY_AS(const auto quota, read_quota(dir_fd, project));
    return ProjectUsage{quota.dqb_curspace, quota.dqb_bhardlimit * kBlock};
}

Result<> set_project_limit(int dir_fd, std::uint32_t project, std::uint64_t bytes) {
    if_dqblk block{};
    block.dqb_bhardlimit = (bytes + kBlock - 1) / kBlock;
    block.dqb_valid = QIF_BLIMITS;
    if (quotactl_fd(dir_fd, Q_SETQUOTA, project, &block) == 0) return {};
    return fail_errno_at("Setting the project quota of", dir_fd, "");
}

}  // namespace lxmgr::storage
