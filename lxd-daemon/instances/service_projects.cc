#include "lxd-daemon/instances/project_limits.h"
#include "lxd-daemon/instances/service_impl.h"

namespace lxmgr::instances {

Result<database::ProjectPtr> Service::update_project(const database::ProjectRecord& record) {
    database::ProjectPtr stored;
    // In one transaction: nothing comes into the project between the check and the change.
    auto done = deps_.database.transaction([&]() -> Result<> {
        LX_TRY_AS(stored, deps_.database.projects().update(record));
        return check_whole_project(impl_->context, *stored);
    });
    LX_TRY(done);
    return stored;
}

Result<> Service::check_profile(const database::ProfileRecord& record) const {
    return check_profile_in_project(impl_->context, record);
}

api::ProjectState Service::project_state(const database::ProjectRecord& record) const {
    return project_usage(impl_->context, record);
}

}  // namespace lxmgr::instances
