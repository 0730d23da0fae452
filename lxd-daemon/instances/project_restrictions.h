#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/database/projects.h"

/// restricted.* of a project, as LXD documents them. Pure functions. Errors: `forbidden` naming the key.
namespace lxmgr::instances {

bool is_restricted(const database::ProjectRecord& project);
/// The value of a restricted.* key: what is set, else what a restricted project has.
std::string restriction(const database::ProjectRecord& project, const std::string& key);

/// Config and devices of an instance after its profiles, or of a profile.
Result<> check_restrictions(const database::ProjectRecord& project, const api::ConfigMap& config,
                            const api::DeviceMap& devices);
/// Where the sources of disk devices must be, as they are opened: their text alone does not tell where
/// symlinks lead. nullopt: anywhere.
std::optional<std::vector<std::string>> allowed_disk_sources(const database::ProjectRecord& project);
/// What an instance must have: restricted.containers.privilege=isolated.
Result<> check_isolation(const database::ProjectRecord& project, const api::ConfigMap& config);
Result<> check_pool_access(const database::ProjectRecord& project, const std::string& pool);
/// @param server  URL of an image server
Result<> check_image_server(const database::ProjectRecord& project, const std::string& server);
/// The pool that a key of a project limits, "limits.disk.pool.POOL"; nullopt: it is another key.
std::optional<std::string> pool_limited_by(std::string_view key);
/// Whether clients of the project are shown the pool: not one of which it may have nothing.
bool shows_pool(const database::ProjectRecord& project, const std::string& pool);
/// Whether restricted.networks.access has it.
bool may_use_network(const database::ProjectRecord& project, const std::string& network);

}  // namespace lxmgr::instances
