#pragma once
#include <functional>
#include <string>

#include "lxd-daemon/instances/backups/service.h"
#include "lxd-daemon/rest/route.h"

namespace lxmgr::rest {

/// Begins the operation that reads the backup. Blocking.
using BeginImport = std::function<Result<operations::OperationPtr>(const instances::BackupUpload& upload)>;

/// Gives the request's body to `begin`, and to the operation that it starts, while it comes in. Answers when
/// the body has come, or when nobody reads it on.
Handled take_backup(const Request& request, Services& services, instances::BackupUpload upload,
                    BeginImport begin);

}  // namespace lxmgr::rest
