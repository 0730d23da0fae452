#pragma once
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::api {

struct Project {
    std::string name, description;
    ConfigMap config;
    std::vector<std::string> used_by;  ///< URLs
};
nlohmann::json to_json(const Project& project);
nlohmann::json etag_fields(const Project& project);

struct ProjectPut {
    std::string description;
    ConfigMap config;
};
Result<ProjectPut> parse_project_put(const nlohmann::json& body);

/// POST /1.0/projects
struct ProjectsPost {
    std::string name;
    ProjectPut fields;
};
Result<ProjectsPost> parse_projects_post(const nlohmann::json& body);

/// PATCH: merged into the current fields. Errors: `bad_request`.
Result<ProjectPut> patch_project(const nlohmann::json& body, ProjectPut current);

/// GET /1.0/projects/NAME/state: by the name of a resource ("instances", "memory").
struct ProjectResource {
    std::int64_t limit = -1;  ///< -1: none
    std::int64_t usage = 0;
};
using ProjectState = std::map<std::string, ProjectResource>;
nlohmann::json to_json(const ProjectState& state);

}  // namespace lxmgr::api
