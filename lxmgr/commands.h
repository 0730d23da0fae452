#pragma once
#include <span>

#include "lxmgr/command.h"

/// One function per cmd_<verb>.cc: the rows of its commands.
namespace lxmgr::cli {

std::span<const Command> launch_commands();
std::span<const Command> state_commands();
std::span<const Command> wait_commands();
std::span<const Command> delete_commands();
std::span<const Command> list_commands();
std::span<const Command> info_commands();
std::span<const Command> rename_commands();
std::span<const Command> snapshot_commands();
std::span<const Command> backup_commands();
std::span<const Command> recover_commands();
std::span<const Command> exec_commands();
std::span<const Command> console_commands();
std::span<const Command> file_commands();
std::span<const Command> config_commands();
std::span<const Command> trust_commands();
std::span<const Command> remote_commands();
std::span<const Command> profile_commands();
std::span<const Command> project_commands();
std::span<const Command> image_commands();
std::span<const Command> image_copy_commands();
std::span<const Command> publish_commands();
std::span<const Command> network_commands();
std::span<const Command> network_acl_commands();
std::span<const Command> network_forward_commands();
std::span<const Command> network_zone_commands();
std::span<const Command> port_commands();
std::span<const Command> storage_commands();
std::span<const Command> volume_commands();
std::span<const Command> operation_commands();
std::span<const Command> warning_commands();
std::span<const Command> history_commands();
std::span<const Command> top_commands();
std::span<const Command> monitor_commands();
std::span<const Command> admin_commands();
std::span<const Command> query_commands();
std::span<const Command> version_commands();
std::span<const Command> completion_commands();

}  // namespace lxmgr::cli
