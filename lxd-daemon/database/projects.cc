#include "lxd-daemon/database/projects.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/database/codec.h"
#include "lxd-daemon/database/connection.h"
#include "profiles/config_keys.h"

namespace lxmgr::database {
namespace {

using api::kDefaultProject;

constexpr Feature kFeatures[] = {Feature::images, Feature::profiles, Feature::volumes, Feature::networks};

std::unexpected<Error> no_project(const std::string& name) {
    return fail(Status::not_found, fmt::format("Project '{}' not found", name));
}
std::unexpected<Error> project_exists(const std::string& name) {
    return fail(Status::conflict, fmt::format("Project '{}' already exists", name));
}

std::string profile_of(const std::string& project) { return api::object_key(project, kDefaultProject); }

std::string encode_list(const std::vector<std::string>& projects) {
    return fmt::format("{}", fmt::join(projects, ","));
}

}  // namespace

std::string_view feature_key(Feature feature) {
    switch (feature) {
        case Feature::images:
            return "features.images";
        case Feature::profiles:
            return "features.profiles";
        case Feature::volumes:
            return "features.storage.volumes";
        case Feature::networks:
            return "features.networks";
    }
    return "";
}

bool has_feature(const ProjectRecord& project, Feature feature) {
    const auto found = project.config.find(std::string(feature_key(feature)));
    return found != project.config.end() && profiles::parse_bool(found->second);
}

api::ConfigMap new_project_config(api::ConfigMap config) {
    for (const Feature feature : {Feature::images, Feature::profiles, Feature::volumes})
        config.emplace(feature_key(feature), "true");
    return config;
}

struct Projects::Impl {
    Connection& connection;
    Table<ProjectRecord>& table;

    Result<> add_profile(const std::string& project) {
        const std::string name = profile_of(project);
        const std::string description = fmt::format("Default LXD profile for project {}", project);
        LX_TRY(
            connection.execute("INSERT INTO profiles (name, description, config, devices) VALUES (?,?,?,?)",
                               name, description, encode(api::ConfigMap{}), encode(api::DeviceMap{})));
        connection.memory.profiles.put(name, {connection.last_insert_id(), name, description, {}, {}});
        return {};
    }
    Result<> remove_profile(const std::string& project) {
        const std::string name = profile_of(project);
        LX_TRY(connection.execute("DELETE FROM profiles WHERE name=?", name));
        connection.memory.profiles.erase(name);
        return {};
    }
    Result<> rename_profile(const std::string& project, const std::string& new_project) {
        const auto current = connection.memory.profiles.find(profile_of(project));
        if (!current) return {};
        ProfileRecord next = *current;
        next.name = profile_of(new_project);
        LX_TRY(connection.execute("UPDATE profiles SET name=? WHERE id=?", next.name, next.id));
        connection.memory.profiles.erase(current->name);
        const std::string name = next.name;
        connection.memory.profiles.put(name, std::move(next));
        return {};
    }
    /// An empty new name takes it out of the lists.
    Result<> tell_certificates(const std::string& name, const std::string& new_name) {
        auto& certificates = connection.memory.certificates;
        const auto users = certificates.select([&](const CertificateRecord& record) {
            return std::ranges::find(record.projects, name) != record.projects.end();
        });
        for (const auto& user : users) {
            CertificateRecord next = *user;
            if (new_name.empty()) {
                std::erase(next.projects, name);
            } else {
                std::ranges::replace(next.projects, name, new_name);
            }
            LX_TRY(connection.execute("UPDATE certificates SET projects=? WHERE fingerprint=?",
                                      encode_list(next.projects), next.fingerprint));
            certificates.put(user->fingerprint, std::move(next));
        }
        return {};
    }
    Result<ProjectPtr> insert(ProjectRecord record) {
        LX_TRY(connection.execute("INSERT INTO projects (name, description, config) VALUES (?,?,?)",
                                  record.name, record.description, encode(record.config)));
        record.id = connection.last_insert_id();
        const std::string name = record.name;
        return table.put(name, std::move(record));
    }
    ProjectPtr find_id(std::int64_t id) const {
        const auto found = table.select([id](const ProjectRecord& record) { return record.id == id; });
        return found.empty() ? nullptr : found.front();
    }
};

Projects::Projects(Connection& connection)
    : impl_(std::make_unique<Impl>(Impl{connection, connection.memory.projects})) {}
Projects::~Projects() = default;

Result<> Projects::load() {
    auto& db = impl_->connection;
    auto loaded = db.write(Durability::normal, [&]() -> Result<> {
        LX_TRY_AS(auto rows, db.prepare("SELECT id, name, description, config FROM projects"));
        while (true) {
            LX_TRY_AS(const bool more, rows.step());
            if (!more) return {};
            ProjectRecord record{rows.integer(0), rows.string(1), rows.string(2), {}};
            LX_TRY_AS(record.config, decode_config(rows.text(3), fmt::format("project '{}'", record.name)));
            const std::string name = record.name;
            impl_->table.put(name, std::move(record));
        }
    });
    LX_TRY(std::move(loaded));
    if (find(std::string(kDefaultProject))) return {};
    ProjectRecord record{0, std::string(kDefaultProject), "Default LXD project", {}};
    for (const Feature feature : kFeatures) record.config.emplace(feature_key(feature), "true");
    return db.write(Durability::normal, [&]() -> Result<> {
        LX_TRY(impl_->insert(record));
        return {};
    });
}

Result<ProjectPtr> Projects::create(ProjectRecord record) {
    return impl_->connection.write_record<ProjectPtr>(Durability::full, [&]() -> Result<ProjectPtr> {
        if (find(record.name)) return project_exists(record.name);
        if (has_feature(record, Feature::profiles)) LX_TRY(impl_->add_profile(record.name));
        return impl_->insert(std::move(record));
    });
}

ProjectPtr Projects::find(const std::string& name) const { return impl_->table.find(name); }
std::vector<ProjectPtr> Projects::list() const { return impl_->table.list(); }

Result<ProjectPtr> Projects::update(const ProjectRecord& record) {
    return impl_->connection.write_record<ProjectPtr>(Durability::full, [&]() -> Result<ProjectPtr> {
        const ProjectPtr current = impl_->find_id(record.id);
        if (!current) return no_project(record.name);
        ProjectRecord next = *current;
        next.description = record.description;
        next.config = record.config;
        const bool same = std::ranges::all_of(kFeatures, [&](Feature feature) {
            return has_feature(next, feature) == has_feature(*current, feature);
        });
        if (!same && !is_empty(*current))
            return fail(Status::bad_request, "Features can only be changed on empty projects");
        const bool own = has_feature(next, Feature::profiles);
        if (own && !has_feature(*current, Feature::profiles)) LX_TRY(impl_->add_profile(next.name));
        if (!own && has_feature(*current, Feature::profiles)) LX_TRY(impl_->remove_profile(next.name));
        LX_TRY(impl_->connection.execute("UPDATE projects SET description=?, config=? WHERE id=?",
                                         next.description, encode(next.config), next.id));
        const std::string name = next.name;
        return impl_->table.put(name, std::move(next));
    });
}

Result<ProjectPtr> Projects::rename(const std::string& name, const std::string& new_name) {
    return impl_->connection.write_record<ProjectPtr>(Durability::full, [&]() -> Result<ProjectPtr> {
        const ProjectPtr current = find(name);
        if (!current) return no_project(name);
        if (find(new_name)) return project_exists(new_name);
        if (!is_empty(*current)) return fail(Status::bad_request, "Only empty projects can be renamed");
        ProjectRecord next = *current;
        next.name = new_name;
        LX_TRY(impl_->connection.execute("UPDATE projects SET name=? WHERE id=?", new_name, next.id));
        LX_TRY(impl_->rename_profile(name, new_name));
        LX_TRY(impl_->tell_certificates(name, new_name));
        impl_->table.erase(name);
        return impl_->table.put(new_name, std::move(next));
    });
}

Result<> Projects::remove(const std::string& name) {
    return impl_->connection.write(Durability::full, [&]() -> Result<> {
        const ProjectPtr current = find(name);
        if (!current) return no_project(name);
        if (!is_empty(*current)) return fail(Status::bad_request, "Only empty projects can be removed");
        if (has_feature(*current, Feature::profiles)) LX_TRY(impl_->remove_profile(name));
        LX_TRY(impl_->tell_certificates(name, ""));
        LX_TRY(impl_->connection.execute("DELETE FROM projects WHERE id=?", current->id));
        impl_->table.erase(name);
        return {};
    });
}

bool Projects::is_empty(const ProjectRecord& record) const {
    const auto urls = used_by(record);
    const std::string own = api::profile_url(profile_of(record.name));
    return std::ranges::all_of(urls, [&](const std::string& url) { return url == own; });
}

std::vector<std::string> Projects::used_by(const ProjectRecord& record) const {
    const Memory& memory = impl_->connection.memory;
    std::vector<std::string> urls;
    for (const auto& instance : memory.instances.list()) {
        if (api::is_of_project(instance->name, record.name))
            urls.push_back(api::instance_url(instance->name));
    }
    for (const auto& image : memory.images.list()) {
        if (is_visible(*image, record.name))
            urls.push_back(api::with_project("/1.0/images/" + image->fingerprint, record.name));
    }
    for (const auto& profile : memory.profiles.list()) {
        if (api::split_object_key(profile->name).project == record.name)
            urls.push_back(api::profile_url(profile->name));
    }
    for (const auto& volume : memory.volumes.list()) {
        const auto [project, name] = api::split_object_key(volume->name);
        if (project != record.name) continue;
        urls.push_back(api::with_project(fmt::format("/1.0/storage-pools/{}/volumes/custom/{}",
                                                     url_encode(volume->pool), url_encode(name)),
                                         project));
    }
    if (record.name != kDefaultProject) return urls;  // it has all networks, and what belongs to them
    for (const auto& network : memory.networks.list()) urls.push_back("/1.0/networks/" + network->name);
    for (const auto& object : memory.network_objects.list()) {
        if (object->kind == "acl") urls.push_back("/1.0/network-acls/" + object->name);
        if (object->kind == "zone") urls.push_back("/1.0/network-zones/" + object->name);
    }
    return urls;
}

Result<> Memory::require_project(const std::string& project) const {
    if (project == kDefaultProject || projects.find(project)) return {};
    return no_project(project);
}

std::string Projects::holder(Feature feature, const std::string& project) const {
    if (project == kDefaultProject) return project;
    const auto record = find(project);
    // One that has gone meanwhile has nothing, and must not become another one.
    return !record || has_feature(*record, feature) ? project : std::string(kDefaultProject);
}

}  // namespace lxmgr::database
