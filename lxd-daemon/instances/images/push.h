#pragma once
#include <stop_token>

#include "lxd-daemon/api/image.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/operations/operation.h"

/// Private to the room: images that go to other servers.
namespace lxmgr::instances {

struct Context;

/// The checks that need no network. Errors: `bad_request`.
Result<> check_push(const api::ImageExportPost& wanted);
/// Blocking. Its progress is shown by the operation. Errors: those of images::push_image().
Result<> send_image(Context& context, const database::ImageRecord& image, const api::ImageExportPost& wanted,
                    operations::Operation& operation, std::stop_token stop);

}  // namespace lxmgr::instances
