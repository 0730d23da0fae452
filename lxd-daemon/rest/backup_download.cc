#include "lxd-daemon/rest/backup_download.h"

#include <sys/stat.h>

#include "lxd-daemon/instances/backups/service.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest {

Handled download_backup(Services& services, database::BackupPtr row) {
    auto open = [&services, row] { return services.instances->backups().open(*row); };
    auto pending = on_worker(services, std::move(open));
    LX_CO_TRY_AS(auto file, co_await std::move(pending));
    struct stat st{};
    if (::fstat(file.get(), &st) != 0) co_return fail_errno("fstat", "the backup");
    auto response =
        Response::stream(std::move(file), static_cast<std::uint64_t>(st.st_size), "application/octet-stream");
    co_return std::move(response).with_header("Content-Disposition", "inline;filename=");
}

}  // namespace lxmgr::rest
