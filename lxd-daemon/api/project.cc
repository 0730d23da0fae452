#include "lxd-daemon/api/project.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/common.h"
#include "lxd-daemon/api/json_reader.h"

namespace lxmgr::api {

nlohmann::json to_json(const Project& project) {
    return {{"name", project.name},
            {"description", project.description},
            {"config", project.config},
            {"used_by", project.used_by}};
}

nlohmann::json etag_fields(const Project& project) {
    return {{"description", project.description}, {"config", project.config}};
}

Result<ProjectPut> parse_project_put(const nlohmann::json& body) {
    ProjectPut out;
    LX_TRY(Reader(body).text("description", out.description).map("config", out.config).done());
    drop_empty(out.config);
    return out;
}

Result<ProjectsPost> parse_projects_post(const nlohmann::json& body) {
    ProjectsPost out;
    LX_TRY(Reader(body).text("name", out.name).done());
    LX_TRY_AS(out.fields, parse_project_put(body));
    if (out.name.empty()) return fail(Status::bad_request, "No name provided");
    return out;
}

Result<ProjectPut> patch_project(const nlohmann::json& body, ProjectPut current) {
    ConfigMap config;
    LX_TRY(Reader(body).text("description", current.description).map("config", config).done());
    merge_config(config, current.config);
    return current;
}

nlohmann::json to_json(const ProjectState& state) {
    nlohmann::json resources = nlohmann::json::object();
    for (const auto& [name, resource] : state)
        resources[name] = {{"Limit", resource.limit}, {"Usage", resource.usage}};
    return {{"resources", std::move(resources)}};
}

}  // namespace lxmgr::api
