#include "storage/transfer.h"

#include <fcntl.h>
#include <unistd.h>

#include "lxd-daemon/base/failpoint.h"
#include "storage/tree/copy.h"
#include "storage/tree/list.h"

namespace lxmgr::storage {

Result<> transfer_volume(Driver& from, const Volume& source, Driver& to, const Volume& volume,
                         std::uint64_t bytes_per_second) {
    const sys::IdMap as_inside = sys::IdMap::host();  // 0-based, as every fresh volume is
    LX_TRY_AS(const auto mounted, from.mount(source, {.idmap = &as_inside, .read_only = true}));
    const UniqueFd root(::openat(mounted.root.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root) return fail_errno_at("Opening", mounted.root.get(), ".");
    failpoint("storage.transfer.mounted");
    return to.create_volume(volume, [&](int root_fd) -> Result<> {
        LX_TRY(copy_tree(root.get(), root_fd, nullptr, bytes_per_second));
        failpoint("storage.transfer.copied");
        if (::syncfs(root_fd) != 0) return fail_errno_at("syncfs", root_fd, "");
        return {};
    });
}

}  // namespace lxmgr::storage
