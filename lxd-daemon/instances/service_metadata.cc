#include "lxd-daemon/instances/metadata.h"
#include "lxd-daemon/instances/service_impl.h"

namespace lxmgr::instances {

Result<std::shared_ptr<const images::Metadata>> Service::metadata(const std::string& name) const {
    LX_TRY_AS(const auto record, require(name));
    return metadata_of(impl_->context, *record);
}

Result<> Service::replace_metadata(const std::string& name, const images::Metadata& metadata,
                                   const std::string& requestor) {
    LX_TRY(require(name));
    auto done = run_locked("Updating instance metadata", {name}, requestor,
                           [&] { return instances::replace_metadata(impl_->context, name, metadata); });
    LX_TRY(std::move(done));
    lifecycle("instance-metadata-updated", name, requestor);
    return {};
}

Result<> Service::change_template(const std::string& name, const std::string& file,
                                  std::optional<std::string> content, const std::string& requestor) {
    LX_TRY(require(name));
    const bool removed = !content;
    auto done = run_locked("Updating instance template", {name}, requestor, [&] {
        return instances::change_template(impl_->context, name, file, std::move(content));
    });
    LX_TRY(std::move(done));
    lifecycle(removed ? "instance-metadata-template-deleted" : "instance-metadata-template-created", name,
              requestor, {{"path", file}});
    return {};
}

}  // namespace lxmgr::instances
