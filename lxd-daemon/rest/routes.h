#pragma once
#include <span>
#include <vector>

#include "lxd-daemon/rest/route.h"

/// One function per entity, defined beside its handlers; all_routes() in routes.cc gathers them.
namespace lxmgr::rest {

std::span<const Route> server_routes();
std::span<const Route> resource_routes();
std::span<const Route> operation_routes();
std::span<const Route> event_routes();
std::span<const Route> instance_routes();
std::span<const Route> instance_state_routes();
std::span<const Route> instance_file_routes();
std::span<const Route> instance_log_routes();
std::span<const Route> instance_backup_routes();
std::span<const Route> instance_metadata_routes();
std::span<const Route> instance_sftp_routes();
std::span<const Route> instance_wait_routes();
std::span<const Route> metadata_configuration_routes();
std::span<const Route> instance_snapshot_routes();
std::span<const Route> exec_output_routes();
std::span<const Route> exec_routes();
std::span<const Route> console_routes();
std::span<const Route> profile_routes();
std::span<const Route> image_routes();
std::span<const Route> image_alias_routes();
std::span<const Route> network_routes();
std::span<const Route> network_acl_routes();
std::span<const Route> network_forward_routes();
std::span<const Route> network_zone_routes();
std::span<const Route> storage_pool_routes();
std::span<const Route> storage_volume_routes();
std::span<const Route> storage_volume_backup_routes();
std::span<const Route> storage_volume_snapshot_routes();
std::span<const Route> project_routes();
std::span<const Route> recover_routes();
std::span<const Route> certificate_routes();
std::span<const Route> server_certificate_routes();
std::span<const Route> virtual_machine_routes();
std::span<const Route> warning_routes();
std::span<const Route> history_routes();
std::span<const Route> metrics_routes();

/// Every route the daemon serves.
std::vector<std::span<const Route>> all_routes();

}  // namespace lxmgr::rest
