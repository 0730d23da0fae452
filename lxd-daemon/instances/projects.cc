#include "lxd-daemon/instances/projects.h"

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/instances/project_restrictions.h"

namespace lxmgr::instances {

using database::Feature;

std::string project_of(const database::InstanceRecord& record) {
    return api::split_instance_key(record.name).project;
}

std::vector<std::string> profile_keys(const Context& context, const std::string& project,
                                      const std::optional<std::vector<std::string>>& names) {
    const std::string holder = context.deps.database.projects().holder(Feature::profiles, project);
    return api::object_keys(holder, names ? *names : std::vector<std::string>{"default"});
}

std::vector<std::string> profiles_there(const Context& context, const std::string& project,
                                        const std::vector<std::string>& keys) {
    auto out = profile_keys(context, project, api::plain_names(keys));
    std::erase_if(out, [&](const std::string& key) { return !context.deps.database.profiles().find(key); });
    return out;
}

std::string volume_key(const Context& context, const std::string& project, const std::string& name) {
    return api::object_key(context.deps.database.projects().holder(Feature::volumes, project), name);
}

std::string project_setting(const Context& context, const std::string& project, const std::string& key) {
    if (const auto record = context.deps.database.projects().find(project)) {
        if (std::string own = api::value_of(record->config, key.c_str()); !own.empty()) return own;
    }
    return api::value_of(context.deps.database.server_config().all(), key.c_str());
}

std::string image_project(const Context& context, const std::string& project) {
    return context.deps.database.projects().holder(Feature::images, project);
}

Result<> check_server_allowed(const Context& context, const std::string& project, const std::string& server) {
    const auto record = context.deps.database.projects().find(project);
    return record ? check_image_server(*record, server) : Result<>{};
}

std::vector<std::string> image_profiles(const Context& context, const api::ImagesPost& post) {
    const auto& names = post.fields.profiles;
    return profile_keys(context, post.in_project, names.empty() ? std::nullopt : std::optional(names));
}

}  // namespace lxmgr::instances
