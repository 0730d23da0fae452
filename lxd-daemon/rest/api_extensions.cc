#include "lxd-daemon/rest/server_info.h"

namespace lxmgr::rest {

/// The one list of what GET /1.0 announces. Clients switch behaviour on these names (client-wire-notes,
/// section 3): a name stands here only when everything it promises is served. Meanings: LXD's
/// doc/api-extensions.
const std::vector<std::string>& api_extensions() {
    static const std::vector<std::string> list{
        "api_filtering",
        "etag",
        "patch",
        "event_lifecycle",
        "operation_description",
        "entity_description",
        "resources",
        "resources_v2",
        "warnings",
        // Instances
        "instances",
        "container_edit_metadata",
        "container_full",
        "instance_get_full",
        "instance_bulk_state_change",
        "instance_create_start",
        "id_map",
        "id_map_base",
        "kernel_limits",
        "linux_sysctl",
        "container_protection_delete",
        "container_protection_shift",
        "container_syscall_filtering",
        "container_syscall_filtering_allow_deny_syntax",
        "container_syscall_intercept",
        "container_syscall_intercept_sysinfo",
        "instance_pool_move",
        "instances_rebuild",
        "container_only_migration",  // copies without snapshots
        "container_incremental_copy",
        "restrict_devlxd",
        "devlxd_events",
        "cloud_init",
        "instance_ready_state",
        "instance_state_started_at",
        "lxmgr_ready",  // lxmgr_ready_at of the state, GET instances/NAME/lxmgr_wait
        "snapshot_scheduling",
        "snapshot_schedule_aliases",
        "instance_snapshot_never",
        "snapshot_expiry",
        "snapshot_expiry_creation",
        "snapshot_disk_usage",
        "container_backup",  // lists only: `lxc info` asks for them
        "container_exec_recording",
        "container_exec_signal_handling",
        "container_exec_user_group_cwd",
        "console",
        // Files
        "directory_manipulation",
        "file_append",
        "file_delete",
        "file_get_symlink",
        "file_symlinks",
        "instance_file_head",
        // Images, networks, storage
        "image_create_aliases",
        "instance_nic_network",
        "network",
        "network_leases",
        "network_state",
        "storage",
        "storage_api_volume_rename",
        "storage_api_local_volume_handling",
        "storage_api_volume_snapshots",
        "storage_shifted",
        "storage_unmapped",
        "storage_volume_state",
        "storage_volume_state_total",
        "storage_volume_api_filtering",
        "storage_volumes_created_at",
        "custom_volume_refresh",
        "custom_volume_snapshot_expiry",
        "volume_snapshot_scheduling",
    };
    return list;
}

}  // namespace lxmgr::rest
