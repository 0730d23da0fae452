#include "lxd-daemon/api/profile.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/common.h"
#include "lxd-daemon/api/json_reader.h"

namespace lxmgr::api {

nlohmann::json to_json(const Profile& profile) {
    return {{"name", profile.name},
            {"description", profile.description},
            {"config", profile.config},
            {"devices", profile.devices},
            {"used_by", profile.used_by}};
}

nlohmann::json etag_fields(const Profile& profile) {
    return {{"config", profile.config}, {"description", profile.description}, {"devices", profile.devices}};
}

Result<ProfilePut> parse_profile_put(const nlohmann::json& body) {
    ProfilePut out;
    Reader reader(body);
    reader.text("description", out.description).map("config", out.config).map("devices", out.devices);
    LX_TRY(reader.done());
    drop_empty(out.config);
    drop_empty(out.devices);
    return out;
}

Result<ProfilesPost> parse_profiles_post(const nlohmann::json& body) {
    ProfilesPost out;
    LX_TRY(Reader(body).text("name", out.name).done());
    LX_TRY_AS(out.fields, parse_profile_put(body));
    if (out.name.empty()) return fail(Status::bad_request, "No name provided");
    return out;
}

Result<ProfilePut> patch_profile(const nlohmann::json& body, ProfilePut current) {
    ConfigMap config;
    DeviceMap devices;
    Reader reader(body);
    reader.text("description", current.description).map("config", config).map("devices", devices);
    LX_TRY(reader.done());
    merge_config(config, current.config);
    drop_empty(devices);
    for (auto& [name, device] : devices) current.devices[name] = std::move(device);
    return current;
}

}  // namespace lxmgr::api
