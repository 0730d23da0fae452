#pragma once
#include <memory>
#include <optional>
#include <string>

#include "images/image.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/database/database.h"

namespace lxmgr::instances {

struct Context;

/// What the image said, as far as the instance did not change it since; empty for an instance without an
/// image. Blocking at the first call for an image.
Result<std::shared_ptr<const images::Metadata>> metadata_of(Context& context,
                                                            const database::InstanceRecord& record);

// Steps; the caller's operation holds the lock "instance:NAME".
/// Replaces metadata.yaml; the templates' content stays.
Result<> replace_metadata(Context& context, const std::string& name, images::Metadata metadata);
/// Stores a template's content, or removes the template (nullopt). Errors: `bad_request` for a name that is
/// no bare file name, or content that is not text of at most 1 MiB; `not_found` when there is none to remove.
Result<> change_template(Context& context, const std::string& name, const std::string& file,
                         std::optional<std::string> content);

/// Whether a start must render templates: it is the first since the instance was made, copied or renamed, or
/// some template asks for every start.
Result<bool> has_templates_to_apply(Context& context, const database::InstanceRecord& record);
/// Renders those whose triggers have come into the root file system of an instance that does not run. Errors
/// name target and template.
Result<> apply_templates(Context& context, const database::InstanceRecord& record,
                         const api::ConfigMap& config, const api::DeviceMap& devices, int root_fd);

}  // namespace lxmgr::instances
