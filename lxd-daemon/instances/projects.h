#pragma once
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/api/image.h"
#include "lxd-daemon/instances/context.h"

/// Private to the room: what the project of an instance means for what it refers to.
namespace lxmgr::instances {

std::string project_of(const database::InstanceRecord& record);
/// The keys by which instances of the project name these profiles; nullopt: the profile "default".
std::vector<std::string> profile_keys(const Context& context, const std::string& project,
                                      const std::optional<std::vector<std::string>>& names);
/// The profiles of the same names in the instance's project; those that are not there are left out.
std::vector<std::string> profiles_there(const Context& context, const std::string& project,
                                        const std::vector<std::string>& keys);
/// The key of the custom volume that disk devices of the project's instances name so.
std::string volume_key(const Context& context, const std::string& project, const std::string& name);
/// What the project's config says of a key that both have, else the server's; empty: neither does.
std::string project_setting(const Context& context, const std::string& project, const std::string& key);
/// The project of the images that its instances are made of.
std::string image_project(const Context& context, const std::string& project);

/// restricted.images.servers. Errors: `forbidden`.
Result<> check_server_allowed(const Context& context, const std::string& project, const std::string& server);
/// Keys of the profiles that a new image is to name.
std::vector<std::string> image_profiles(const Context& context, const api::ImagesPost& post);

}  // namespace lxmgr::instances
