#include "lxmgr/commands.h"

namespace lxmgr::cli {

std::vector<const Command*> all_commands() {
    // The order is that of the help and of docs/reference/cli.md.
    constexpr std::span<const Command> (*kTables[])() = {
        launch_commands,       state_commands,
        wait_commands,         delete_commands,
        list_commands,         info_commands,
        rename_commands,       snapshot_commands,
        backup_commands,       exec_commands,
        console_commands,      file_commands,
        config_commands,       trust_commands,
        profile_commands,      project_commands,
        image_commands,        image_copy_commands,
        publish_commands,      network_commands,
        network_acl_commands,  network_forward_commands,
        network_zone_commands, port_commands,
        storage_commands,      volume_commands,
        remote_commands,       operation_commands,
        warning_commands,      monitor_commands,
        history_commands,      top_commands,
        admin_commands,        recover_commands,
        query_commands,        version_commands,
        completion_commands,
    };
    std::vector<const Command*> all;
    for (const auto table : kTables) {
        for (const auto& command : table()) all.push_back(&command);
    }
    return all;
}

}  // namespace lxmgr::cli
