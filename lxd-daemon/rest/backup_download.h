#pragma once
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/rest/route.h"

namespace lxmgr::rest {

/// The file of a backup, of an instance or of a volume, as the answer to a GET of its export.
Handled download_backup(Services& services, database::BackupPtr row);

}  // namespace lxmgr::rest
