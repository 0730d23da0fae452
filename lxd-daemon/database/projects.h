#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::database {

class Connection;

struct ProjectRecord {
    std::int64_t id = 0;
    std::string name, description;
    api::ConfigMap config;
};
using ProjectPtr = std::shared_ptr<const ProjectRecord>;

/// What a project can have of its own; what it has not is "default"'s.
enum class Feature { images, profiles, volumes, networks };
std::string_view feature_key(Feature feature);  ///< "features.images"
bool has_feature(const ProjectRecord& project, Feature feature);

/// With the features that new projects have unless they say otherwise.
api::ConfigMap new_project_config(api::ConfigMap config);

/// Projects, kept in memory as all repositories do (database.h). Their objects name them in their keys
/// (api/project_keys.h).
class Projects {
public:
    explicit Projects(Connection& connection);
    ~Projects();
    Result<> load();  ///< also makes the project "default" when it is missing
    /// With a profile "default" when profiles are its own. Errors: `conflict`.
    Result<ProjectPtr> create(ProjectRecord record);
    [[nodiscard]] ProjectPtr find(const std::string& name) const;
    [[nodiscard]] std::vector<ProjectPtr> list() const;  ///< by name
    /// By id; replaces description and config, and makes or removes the profile "default". Errors:
    /// `not_found`; `bad_request` when features change while it is in use.
    Result<ProjectPtr> update(const ProjectRecord& record);
    /// Restricted certificates follow. Errors: `not_found`, `conflict`; `bad_request` while it is in use.
    Result<ProjectPtr> rename(const std::string& name, const std::string& new_name);
    Result<> remove(const std::string& name);  ///< the same errors
    /// URLs, as clients know them, of all that is in it.
    [[nodiscard]] std::vector<std::string> used_by(const ProjectRecord& record) const;
    /// Nothing is in it but its profile "default".
    [[nodiscard]] bool is_empty(const ProjectRecord& record) const;
    /// Which project holds what this one's instances use: itself, or "default".
    [[nodiscard]] std::string holder(Feature feature, const std::string& project) const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace lxmgr::database
