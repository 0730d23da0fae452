#pragma once
#include <nlohmann/json.hpp>

#include "lxd-daemon/api/instance_requests.h"
#include "lxd-daemon/instances/migration/service.h"
#include "lxd-daemon/instances/volumes/service.h"
#include "lxd-daemon/rest/route.h"

/// What of POST on instances concerns other servers.
namespace lxmgr::rest {

/// POST /1.0/instances/NAME {"migration": true}, and of a snapshot: this server is the source.
/// @param body  its "target", when that is an object, is where to send to; else the target comes
Handled send_to_server(const Request& request, Services& services, instances::MigrationSubject subject,
                       nlohmann::json body);
/// POST /1.0/instances with source "migration": this server is the target.
Handled receive_from_server(const Request& request, Services& services, api::InstancesPost post,
                            nlohmann::json body);

/// The same of custom volumes.
Handled send_volume_to_server(const Request& request, Services& services, instances::VolumeName name,
                              bool with_snapshots, nlohmann::json body);
Handled receive_volume_from_server(const Request& request, Services& services, std::string pool,
                                   api::StorageVolumesPost post, nlohmann::json body);

}  // namespace lxmgr::rest
