#pragma once
#include <stop_token>
#include <string>
#include <vector>

#include "images/made_image.h"
#include "lxd-daemon/api/image.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/operations/operation.h"

/// Private to the room: images made of instances and snapshots.
namespace lxmgr::instances {

struct Context;

struct PublishPlan {
    std::string instance, snapshot;  ///< no snapshot: the instance as it is
    images::ImagePacking packing;
    api::ImagesPost post;
};
/// The checks that need no disk. Errors: `not_found`, `bad_request` for an instance that runs.
Result<PublishPlan> plan_publish(Context& context, api::ImagesPost post);

/// The caller's operation holds the instance's lock.
Result<database::ImagePtr> publish_image(Context& context, const PublishPlan& plan,
                                         operations::Operation& operation, const std::stop_token& stop);

}  // namespace lxmgr::instances
