#pragma once
#include <map>
#include <string>

#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/operations/operation.h"

/// Private to the room: images that come from servers are kept up to date, and not for ever.
namespace lxmgr::instances {

struct Context;

/// Asks the image's server whether it has a newer one; if so, that takes its place: aliases, settings. Gives
/// whether it did. Errors: `bad_request` for an image without a source.
Result<bool> refresh_image(Context& context, const std::string& fingerprint, operations::Operation& operation,
                           std::stop_token stop);
operations::Request refresh_request(Context& context, const std::string& fingerprint,
                                    const std::string& requestor);

/// What the timer remembers between its rounds: when each image was last looked after.
using ImageAttempts = std::map<std::string, Time>;
/// Begins what is due (images.auto_update_interval, images.remote_cache_expiry) and gives when the next is;
/// the epoch: never.
Time look_after_images(Context& context, Time time, ImageAttempts& attempts);

/// An instance was made of it. Not durable, and not noted more than once a minute.
void note_image_use(Context& context, const std::string& fingerprint);

}  // namespace lxmgr::instances
