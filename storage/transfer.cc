#include "storage/transfer.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "lxd-daemon/base/failpoint.h"
#include "storage/tree/copy.h"
#include "storage/tree/list.h"

namespace lxmgr::storage {

Result<> transfer_volume(Driver& from, const Volume& source, Driver& to, const Volume& volume,
                         const sys::IdMap& idmap) {
    LX_TRY_AS(const auto mounted, from.mount(source, {.idmap = nullptr, .read_only = true}));
    const UniqueFd root(::openat(mounted.root.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct stat st{};
    if (!root || ::fstat(root.get(), &st) != 0) return fail_errno_at("Opening", mounted.root.get(), ".");
    // No id inside an instance is as high as the host's first one.
    const bool carries_host_ids = st.st_uid >= idmap.host_uid(0);
    const IdShift shift(&idmap, nullptr);
    failpoint("storage.transfer.mounted");
    return to.create_volume(volume, [&](int root_fd) -> Result<> {
        LX_TRY(copy_tree(root.get(), root_fd, carries_host_ids ? &shift : nullptr));
        failpoint("storage.transfer.copied");
        if (::syncfs(root_fd) != 0) return fail_errno_at("syncfs", root_fd, "");
        return {};
    });
}

}  // namespace lxmgr::storage
