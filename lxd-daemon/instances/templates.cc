#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "images/template.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/files.h"
#include "lxd-daemon/instances/identity.h"
#include "lxd-daemon/instances/metadata.h"
#include "lxd-daemon/instances/own_idmap.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

using nlohmann::json;

/// "create", "copy" or "rename" until the next start; empty at later ones.
std::string pending_trigger(const database::InstanceRecord& record) {
    const auto found = record.config.find("volatile.apply_template");
    return found == record.config.end() ? "" : found->second;
}

bool is_due(const images::Template& entry, const std::string& pending) {
    return std::ranges::any_of(entry.when, [&](const std::string& when) {
        return when == "start" || (!pending.empty() && when == pending);
    });
}

bool flag_of(const api::ConfigMap& config, const char* key) {
    const auto found = config.find(key);
    return found != config.end() && profiles::parse_bool(found->second);
}

/// What LXD's documentation of the image format promises to templates.
images::TemplateInput input_for(const database::InstanceRecord& record, const api::ConfigMap& config,
                                const api::DeviceMap& devices) {
    const json instance{{"name", api::instance_name(record.name)},
                        {"architecture", record.architecture},
                        {"privileged", flag_of(config, "security.privileged") ? "true" : "false"},
                        {"ephemeral", record.ephemeral ? "true" : "false"}};
    images::TemplateInput input;
    input.variables = {
        {"instance", instance}, {"container", instance}, {"config", config}, {"devices", devices}};
    input.config = &config;
    return input;
}

/// The directories above a target, as a program inside would make them.
Result<> make_parents(const InstanceRoot& root, const std::string& path) {
    for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
        const std::string parent = path.substr(0, at);
        if (file_info(root, parent)) continue;
        LX_TRY(make_directory(root, parent, {}));
    }
    return {};
}

Result<> apply(const InstanceRoot& root, const std::string& path, const images::Template& entry,
               const images::Metadata& metadata, const images::TemplateInput& input) {
    const std::string target = path.starts_with('/') ? path : "/" + path;
    if (entry.create_only && file_info(root, target)) return {};
    const auto source = metadata.files.find(entry.source);
    if (source == metadata.files.end()) return fail(Status::bad_request, "there is no such template");
    LX_TRY_AS(const std::string text, images::render_template(source->second, input));
    LX_TRY(make_parents(root, target));
    return write_text(root, target, text);
}

}  // namespace

Result<bool> has_templates_to_apply(Context& context, const database::InstanceRecord& record) {
    LX_TRY_AS(const auto metadata, metadata_of(context, record));
    const std::string pending = pending_trigger(record);
    return std::ranges::any_of(metadata->templates,
                               [&](const auto& entry) { return is_due(entry.second, pending); });
}

Result<> apply_templates(Context& context, const database::InstanceRecord& record,
                         const api::ConfigMap& config, const api::DeviceMap& devices, int root_fd) {
    const InstanceRoot root{UniqueFd(::fcntl(root_fd, F_DUPFD_CLOEXEC, 0)),
                            current_idmap(context, record.config), nullptr};
    if (!root.fd) return fail_errno("fcntl", record.name);
    LX_TRY_AS(const auto metadata, metadata_of(context, record));
    const std::string pending = pending_trigger(record);
    auto input = input_for(record, config, devices);
    for (const auto& [path, entry] : metadata->templates) {
        if (!is_due(entry, pending)) continue;
        const bool first = std::ranges::find(entry.when, pending) != entry.when.end();
        input.variables["trigger"] = first ? pending : "start";
        input.variables["path"] = path;
        input.variables["properties"] = entry.properties;
        if (auto done = apply(root, path, entry, *metadata, input); !done) {
            return std::unexpected(
                in(fmt::format("Template '{}' for '{}' of instance '{}'", entry.source, path, record.name),
                   std::move(done).error()));
        }
    }
    return {};
}

}  // namespace lxmgr::instances
