#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::api {

struct Profile {
    std::string name, description;
    ConfigMap config;
    DeviceMap devices;
    std::vector<std::string> used_by;  ///< URLs
};
nlohmann::json to_json(const Profile& profile);
nlohmann::json etag_fields(const Profile& profile);

struct ProfilePut {
    std::string description;
    ConfigMap config;
    DeviceMap devices;
};
Result<ProfilePut> parse_profile_put(const nlohmann::json& body);

struct ProfilesPost {
    std::string name;
    ProfilePut fields;
};
Result<ProfilesPost> parse_profiles_post(const nlohmann::json& body);

/// PATCH: merged into the current fields. Errors: `bad_request`.
Result<ProfilePut> patch_profile(const nlohmann::json& body, ProfilePut current);

}  // namespace lxmgr::api
