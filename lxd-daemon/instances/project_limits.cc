#include "lxd-daemon/instances/project_limits.h"

#include <fmt/format.h>

#include <limits>
#include <optional>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/project_restrictions.h"
#include "lxd-daemon/instances/projects.h"
#include "lxd-daemon/instances/volume_size.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

using database::Feature;

/// What a limit on a sum asks of each instance.
struct Summed {
    const char* key;       ///< of the project and of its instances
    const char* resource;  ///< in GET .../state
    /// What an instance's value counts; nullopt: it is no number that could be added.
    std::optional<std::int64_t> (*count)(const std::string& value);
};

std::optional<std::int64_t> count_bytes(const std::string& value) {
    if (value.ends_with('%')) return std::nullopt;
    const auto bytes = profiles::parse_size(value);
    return bytes ? std::optional(static_cast<std::int64_t>(*bytes)) : std::nullopt;
}

std::optional<std::int64_t> count_cpus(const std::string& value) {
    const auto limit = profiles::parse_cpu_limit(value);
    if (!limit || limit->count == 0) return std::nullopt;  // pinned CPUs are no number
    return limit->count;
}

std::optional<std::int64_t> count_number(const std::string& value) { return parse_int(value); }

/// Sizes go up to the largest number there is.
std::int64_t plus(std::int64_t a, std::int64_t b) {
    std::int64_t sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<std::int64_t>::max() : sum;
}

constexpr Summed kSummed[] = {
    {"limits.cpu", "cpu", count_cpus},
    {"limits.memory", "memory", count_bytes},
    {"limits.processes", "processes", count_number},
};

std::optional<std::int64_t> limit_of(const database::ProjectRecord& project, const Summed& what) {
    const auto found = project.config.find(what.key);
    if (found == project.config.end()) return std::nullopt;
    return std::string_view(what.key) == "limits.memory" ? count_bytes(found->second)
                                                         : parse_int(found->second);
}

std::optional<std::int64_t> number_limit(const database::ProjectRecord& project, const char* key) {
    const auto found = project.config.find(key);
    return found == project.config.end() ? std::nullopt : parse_int(found->second);
}

bool allows_all(const database::ProjectRecord& project) {
    for (const auto& [key, value] : project.config) {
        if (key.starts_with("limits.")) return false;
    }
    return !is_restricted(project);
}

/// An instance with its profiles merged.
struct Member {
    database::InstancePtr record;
    ExpandedInstance expanded;
};

/// The instances of a project; `changed` is in place of the one of its name, or one more.
std::vector<Member> members(const Context& context, const std::string& project,
                            const database::InstanceRecord* changed) {
    std::vector<Member> out;
    const auto add = [&](database::InstancePtr record) {
        auto expanded = expand(context, *record);
        out.push_back({std::move(record), std::move(expanded)});
    };
    for (const auto& record : context.rows().list()) {
        const bool replaced = changed != nullptr && (record->name == changed->name ||
                                                     (changed->id != 0 && record->id == changed->id));
        if (!replaced && api::is_of_project(record->name, project)) add(record);
    }
    if (changed != nullptr) add(std::make_shared<const database::InstanceRecord>(*changed));
    return out;
}

std::unexpected<Error> too_much(const database::ProjectRecord& project, const std::string& key) {
    return fail(Status::bad_request,
                fmt::format("Reached maximum aggregate value \"{}\" for \"{}\" in project {}",
                            project.config.at(key), key, project.name));
}

std::unexpected<Error> not_countable(const database::ProjectRecord& project, const Member& member,
                                     const char* key, const std::string& value) {
    const std::string name(api::instance_name(member.record->name));
    if (value.empty())
        return fail(Status::bad_request,
                    fmt::format("Instance \"{}\" in project \"{}\" has no \"{}\" config, either directly or "
                                "via a profile: the project limits it",
                                name, project.name, key));
    return fail(
        Status::bad_request,
        fmt::format("Instance \"{}\" in project \"{}\" has '{}' as \"{}\": it must be a plain number, "
                    "since the project limits the sum",
                    name, project.name, value, key));
}

Result<> check_sum(const database::ProjectRecord& project, const std::vector<Member>& all,
                   const Summed& what) {
    const auto limit = limit_of(project, what);
    if (!limit) return {};
    std::int64_t sum = 0;
    for (const auto& member : all) {
        const std::string value = api::value_of(member.expanded.config, what.key);
        const auto counted = value.empty() ? std::nullopt : what.count(value);
        if (!counted) return not_countable(project, member, what.key, value);
        sum = plus(sum, *counted);
    }
    return sum > *limit ? too_much(project, what.key) : Result<>{};
}

Result<> check_counts(const database::ProjectRecord& project, const std::vector<Member>& all) {
    // All are containers.
    for (const char* key : {"limits.instances", "limits.containers"}) {
        const auto limit = number_limit(project, key);
        if (limit && std::ssize(all) > *limit)
            return fail(Status::bad_request, fmt::format("Reached maximum number of instances in project {}: "
                                                         "\"{}\" is {}",
                                                         project.name, key, *limit));
    }
    return {};
}

struct RootSize {
    std::string pool;
    std::optional<std::int64_t> bytes;  ///< nullopt: it may grow as it likes
};

RootSize root_of(const Member& member) {
    const auto root = root_disk(member.expanded.devices);
    if (!root) return {};
    const std::string size = api::value_of(member.expanded.devices.at(root->first), "size");
    const auto bytes = size.empty() ? std::nullopt : count_bytes(size);
    return {root->second, bytes == 0 ? std::nullopt : bytes};
}

/// The custom volumes of a project; `changed` as for members().
std::vector<database::VolumeRecord> volumes_of(const Context& context, const std::string& project,
                                               const database::VolumeRecord* changed) {
    std::vector<database::VolumeRecord> out;
    for (const auto& row : context.deps.database.volumes().list_all()) {
        const bool replaced =
            changed != nullptr && ((row->pool == changed->pool && row->name == changed->name) ||
                                   (changed->id != 0 && row->id == changed->id));
        if (!replaced && api::split_object_key(row->name).project == project) out.push_back(*row);
    }
    if (changed != nullptr) out.push_back(*changed);
    return out;
}

/// @param pool  empty: any
bool is_of_pool(const std::string& pool, const std::string& wanted) {
    return wanted.empty() || pool == wanted;
}

Result<> check_disk_sum(const database::ProjectRecord& project, const std::vector<Member>& all,
                        const std::vector<database::VolumeRecord>& volumes, const std::string& key,
                        const std::string& pool) {
    std::int64_t sum = 0;
    for (const auto& member : all) {
        const auto root = root_of(member);
        if (!is_of_pool(root.pool, pool)) continue;
        if (!root.bytes)
            return fail(Status::bad_request,
                        fmt::format("Instance \"{}\" in project \"{}\" has no \"size\" of its root disk, "
                                    "either directly or via a profile: the project limits it",
                                    api::instance_name(member.record->name), project.name));
        sum = plus(sum, *root.bytes);
    }
    for (const auto& volume : volumes) {
        if (!is_of_pool(volume.pool, pool)) continue;
        const auto size = count_bytes(api::value_of(volume.config, "size"));
        if (!size || *size == 0)
            return fail(
                Status::bad_request,
                fmt::format("Custom volume \"{}\" in project \"{}\" has no \"size\" config: the project "
                            "limits it",
                            api::plain_name(volume.name), project.name));
        sum = plus(sum, *size);
    }
    return sum > count_bytes(project.config.at(key)).value_or(0) ? too_much(project, key) : Result<>{};
}

/// Of all pools together, or of one: which says pool_limited_by().
bool limits_disk(std::string_view key) { return key == "limits.disk" || pool_limited_by(key); }

Result<> check_disk(const Context& context, const database::ProjectRecord& project,
                    const std::vector<Member>& all, const database::VolumeRecord* changed) {
    std::optional<std::vector<database::VolumeRecord>> volumes;
    for (const auto& [key, value] : project.config) {
        if (!limits_disk(key)) continue;
        if (!volumes) volumes = volumes_of(context, project.name, changed);
        LX_TRY(check_disk_sum(project, all, *volumes, key, pool_limited_by(key).value_or("")));
    }
    return {};
}

Result<> check_limits(const Context& context, const database::ProjectRecord& project,
                      const database::InstanceRecord* instance, const database::VolumeRecord* volume) {
    const auto all = members(context, project.name, instance);
    LX_TRY(check_counts(project, all));
    for (const auto& what : kSummed) LX_TRY(check_sum(project, all, what));
    return check_disk(context, project, all, volume);
}

api::ProjectResource disk_usage(const database::ProjectRecord& project, const std::vector<Member>& all,
                                const std::vector<database::VolumeRecord>& volumes, const std::string& key,
                                const std::string& pool) {
    std::int64_t sum = 0;
    for (const auto& member : all) {
        const auto root = root_of(member);
        if (is_of_pool(root.pool, pool)) sum = plus(sum, root.bytes.value_or(0));
    }
    for (const auto& volume : volumes) {
        if (is_of_pool(volume.pool, pool))
            sum = plus(sum, count_bytes(api::value_of(volume.config, "size")).value_or(0));
    }
    const auto limit = project.config.find(key);
    return {limit == project.config.end() ? -1 : count_bytes(limit->second).value_or(-1), sum};
}

database::ProjectPtr checked_project(const Context& context, const std::string& name) {
    auto project = context.deps.database.projects().find(name);
    return project && !allows_all(*project) ? project : nullptr;
}

}  // namespace

Result<> check_in_project(const Context& context, const database::InstanceRecord& record) {
    const auto project = checked_project(context, project_of(record));
    if (!project) return {};
    const auto expanded = expand(context, record);
    LX_TRY(check_restrictions(*project, expanded.config, expanded.devices));
    LX_TRY(check_isolation(*project, expanded.config));
    return check_limits(context, *project, &record, nullptr);
}

Result<> check_in_project(const Context& context, const database::VolumeRecord& record) {
    const auto project = checked_project(context, api::split_object_key(record.name).project);
    if (!project) return {};
    LX_TRY(check_pool_access(*project, record.pool));
    return check_disk(context, *project, members(context, project->name, nullptr), &record);
}

Result<> check_profile_in_project(const Context& context, const database::ProfileRecord& record) {
    const std::string own = api::split_object_key(record.name).project;
    for (const auto& project : context.deps.database.projects().list()) {
        if (context.deps.database.projects().holder(Feature::profiles, project->name) != own) continue;
        if (allows_all(*project)) continue;
        if (project->name == own) LX_TRY(check_restrictions(*project, record.config, record.devices));
        LX_TRY(check_whole_project(context, *project));
    }
    return {};
}

Result<> check_whole_project(const Context& context, const database::ProjectRecord& project) {
    if (allows_all(project)) return {};
    for (const auto& member : members(context, project.name, nullptr)) {
        auto checked = check_restrictions(project, member.expanded.config, member.expanded.devices);
        if (checked) checked = check_isolation(project, member.expanded.config);
        if (!checked)
            return std::unexpected(in(fmt::format("Instance \"{}\"", api::instance_name(member.record->name)),
                                      std::move(checked).error()));
    }
    return check_limits(context, project, nullptr, nullptr);
}

Result<> check_backups_allowed(const Context& context, const std::string& project) {
    const auto record = context.deps.database.projects().find(project);
    if (!record || !is_restricted(*record) || restriction(*record, "restricted.backups") == "allow")
        return {};
    return fail(Status::forbidden, "Project doesn't allow for backup creation");
}

Result<> check_snapshots_allowed(const Context& context, const std::string& project) {
    const auto record = context.deps.database.projects().find(project);
    if (!record || !is_restricted(*record) || restriction(*record, "restricted.snapshots") == "allow")
        return {};
    return fail(Status::forbidden, "Project doesn't allow for snapshot creation");
}

api::ProjectState project_usage(const Context& context, const database::ProjectRecord& project) {
    const auto all = members(context, project.name, nullptr);
    api::ProjectState out;
    const auto of = [&](const char* key) { return number_limit(project, key).value_or(-1); };
    const auto count = static_cast<std::int64_t>(all.size());
    out["instances"] = {of("limits.instances"), count};
    out["containers"] = {of("limits.containers"), count};
    out["virtual-machines"] = {of("limits.virtual-machines"), 0};
    const bool has_networks = project.name == api::kDefaultProject;
    out["networks"] = {of("limits.networks"),
                       has_networks ? std::ssize(context.deps.database.networks().list()) : 0};
    for (const auto& what : kSummed) {
        std::int64_t sum = 0;
        for (const auto& member : all)
            sum = plus(sum, what.count(api::value_of(member.expanded.config, what.key)).value_or(0));
        out[what.resource] = {limit_of(project, what).value_or(-1), sum};
    }
    const auto volumes = volumes_of(context, project.name, nullptr);
    out["disk"] = disk_usage(project, all, volumes, "limits.disk", "");
    for (const auto& [key, value] : project.config) {
        if (const auto pool = pool_limited_by(key))
            out["disk." + *pool] = disk_usage(project, all, volumes, key, *pool);
    }
    return out;
}

}  // namespace lxmgr::instances
