#pragma once
#include <string>

#include "lxd-daemon/api/project.h"
#include "lxd-daemon/instances/context.h"

/// What a project allows: limits.* as sums over its instances and volumes, restricted.* of each of them.
/// Memory only. Errors: `forbidden` for what is restricted, `bad_request` for what exceeds a limit.
namespace lxmgr::instances {

/// A record that is to be stored, new or in place of one. Where several may be stored at once, inside of the
/// transaction that does it.
Result<> check_in_project(const Context& context, const database::InstanceRecord& record);
/// A custom volume, likewise.
Result<> check_in_project(const Context& context, const database::VolumeRecord& record);
/// A profile by itself, and all that its users are with it (it is stored already).
Result<> check_profile_in_project(const Context& context, const database::ProfileRecord& record);
/// All that is in it.
Result<> check_whole_project(const Context& context, const database::ProjectRecord& project);
/// restricted.backups and restricted.snapshots.
Result<> check_backups_allowed(const Context& context, const std::string& project);
Result<> check_snapshots_allowed(const Context& context, const std::string& project);

api::ProjectState project_usage(const Context& context, const database::ProjectRecord& project);

}  // namespace lxmgr::instances
