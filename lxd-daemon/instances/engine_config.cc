#include "lxd-daemon/instances/engine_config.h"

#include <fcntl.h>

#include "lxd-daemon/instances/files.h"

namespace lxmgr::instances {
namespace {

constexpr const char* kFile = "/etc/containers/containers.conf.d/00-lxmgr.conf";
constexpr const char* kText =
    "# Written by lxmgr at each start: this host has no pids controller for guests (it is in cgroup v1).\n"
    "[containers]\npids_limit = 0\n";

}  // namespace

Result<> write_engine_config(int root_fd, const sys::IdMap& idmap, bool has_pids_controller) {
    const InstanceRoot root{UniqueFd(::fcntl(root_fd, F_DUPFD_CLOEXEC, 0)), idmap, nullptr};
    if (!root.fd) return fail_errno("fcntl", "root");
    const bool exists = file_info(root, kFile).has_value();
    if (exists == !has_pids_controller) return {};
    if (exists) return remove_path(root, kFile, false);
    const auto etc = file_info(root, "/etc");
    if (!etc || etc->type != FileType::directory) return {};
    for (const char* folder : {"/etc/containers", "/etc/containers/containers.conf.d"}) {
        if (!file_info(root, folder)) LX_TRY(make_directory(root, folder, {}));
    }
    return write_text(root, kFile, kText);
}

}  // namespace lxmgr::instances
