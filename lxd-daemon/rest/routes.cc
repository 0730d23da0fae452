#include "lxd-daemon/rest/routes.h"

namespace lxmgr::rest {

std::vector<std::span<const Route>> all_routes() {
    return {server_routes(),
            operation_routes(),
            event_routes(),
            instance_routes(),
            instance_state_routes(),
            instance_file_routes(),
            instance_log_routes(),
            instance_backup_routes(),
            exec_output_routes(),
            resource_routes(),
            exec_routes(),
            console_routes(),
            profile_routes(),
            image_routes(),
            image_alias_routes(),
            network_routes(),
            network_acl_routes(),
            network_forward_routes(),
            network_zone_routes(),
            storage_pool_routes(),
            storage_volume_routes(),
            project_routes(),
            recover_routes(),
            certificate_routes(),
            server_certificate_routes(),
            virtual_machine_routes(),
            warning_routes(),
            history_routes(),
            instance_metadata_routes(),
            instance_sftp_routes(),
            instance_snapshot_routes(),
            instance_wait_routes(),
            metadata_configuration_routes(),
            storage_volume_snapshot_routes(),
            metrics_routes(),
            storage_volume_backup_routes()};
}

}  // namespace lxmgr::rest
