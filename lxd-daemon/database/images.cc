#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/database/codec.h"
#include "lxd-daemon/database/connection.h"
#include "lxd-daemon/database/profile_links.h"

namespace lxmgr::database {
namespace {

constexpr ProfileLink kImageProfiles{"image_profiles", "image_id"};

std::unexpected<Error> no_image() { return fail(Status::not_found, "Image not found"); }
std::unexpected<Error> no_alias(const std::string& name) {
    return fail(Status::not_found,
                fmt::format("Image alias '{}' not found", api::split_alias_key(name).name));
}
std::unexpected<Error> alias_exists(const std::string& name) {
    return fail(Status::conflict,
                fmt::format("Image alias '{}' already exists", api::split_alias_key(name).name));
}

std::string join_projects(const std::vector<std::string>& projects) {
    return fmt::format("{}", fmt::join(projects, ","));
}

Result<ImageRecord> read_image(const Statement& row) {
    ImageRecord out;
    out.id = row.integer(0);
    out.fingerprint = row.string(1);
    out.filename = row.string(2);
    out.architecture = row.string(3);
    out.type = row.string(4);
    out.size_bytes = static_cast<std::uint64_t>(row.integer(5));
    out.is_public = row.flag(6);
    out.auto_update = row.flag(7);
    out.cached = row.flag(8);
    out.split = row.flag(9);
    LX_TRY_AS(out.properties, decode_config(row.text(10), fmt::format("image '{}'", out.fingerprint)));
    out.created_at = row.time(11);
    out.expires_at = row.time(12);
    out.last_used_at = row.time(13);
    out.uploaded_at = row.time(14);
    out.metadata_id = row.integer(15);
    if (!row.text(16).empty()) out.source = {row.string(16), row.string(17), row.string(18), row.string(19)};
    out.projects = split(row.string(20), ',');
    return out;
}

}  // namespace

bool is_visible(const ImageRecord& image, const std::string& project) {
    return std::ranges::find(image.projects, project) != image.projects.end();
}

struct Images::Impl {
    Connection& connection;
    Table<ImageRecord>& images;
    Table<AliasRecord>& aliases;

    Result<> load_images() {
        LX_TRY_AS(auto links, read_profiles(connection, kImageProfiles));
        LX_TRY_AS(auto rows,
                  connection.prepare("SELECT id, fingerprint, filename, architecture, type, size_bytes, "
                                     "is_public, auto_update, cached, split, properties, created_at, "
                                     "expires_at, last_used_at, uploaded_at, metadata_id, server, protocol, "
                                     "certificate, alias, projects FROM images LEFT JOIN image_sources ON "
                                     "image_id = images.id"));
        while (true) {
            LX_TRY_AS(const bool more, rows.step());
            if (!more) return {};
            LX_TRY_AS(auto record, read_image(rows));
            record.profiles = std::move(links[record.id]);
            const std::string key = record.fingerprint;
            images.put(key, std::move(record));
        }
    }

    Result<> load_aliases() {
        LX_TRY_AS(
            auto rows,
            connection.prepare("SELECT image_aliases.id, name, image_aliases.type, description, fingerprint "
                               "FROM image_aliases JOIN images ON images.id = image_id"));
        while (true) {
            LX_TRY_AS(const bool more, rows.step());
            if (!more) return {};
            const std::string name = rows.string(1);
            aliases.put(name, {rows.integer(0), name, rows.string(3), rows.string(4), rows.string(2)});
        }
    }

    Result<> insert_source(const ImageRecord& r) {
        if (!r.source) return {};
        return connection.execute(
            "INSERT INTO image_sources (image_id, server, protocol, certificate, alias) VALUES (?,?,?,?,?)",
            r.id, r.source->server, r.source->protocol, r.source->certificate, r.source->alias);
    }

    Result<> insert(ImageRecord& r) {
        LX_TRY(connection.execute(
            "INSERT INTO images (fingerprint, filename, architecture, type, size_bytes, "
            "is_public, auto_update, cached, split, properties, created_at, expires_at, "
            "last_used_at, uploaded_at, projects, metadata_id) VALUES "
            "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,NULLIF(?,0))",
            r.fingerprint, r.filename, r.architecture, r.type, static_cast<std::int64_t>(r.size_bytes),
            r.is_public, r.auto_update, r.cached, r.split, encode(r.properties), r.created_at, r.expires_at,
            r.last_used_at, r.uploaded_at, join_projects(r.projects), r.metadata_id));
        r.id = connection.last_insert_id();
        LX_TRY(insert_source(r));
        return replace_profiles(connection, kImageProfiles, r.id, r.profiles);
    }

    Result<> rewrite(const ImageRecord& r) {
        LX_TRY(connection.execute(
            "UPDATE images SET is_public=?, auto_update=?, cached=?, properties=?, expires_at=?, "
            "last_used_at=? WHERE id=?",
            r.is_public, r.auto_update, r.cached, encode(r.properties), r.expires_at, r.last_used_at, r.id));
        LX_TRY(connection.execute("DELETE FROM image_sources WHERE image_id=?", r.id));
        LX_TRY(insert_source(r));
        return replace_profiles(connection, kImageProfiles, r.id, r.profiles);
    }

    Result<ImagePtr> set_projects(ImageRecord next) {
        LX_TRY(connection.execute("UPDATE images SET projects=? WHERE id=?", join_projects(next.projects),
                                  next.id));
        const std::string key = next.fingerprint;
        return images.put(key, std::move(next));
    }

    AliasPtr alias_by_id(std::int64_t id) const {
        const auto found = aliases.select([id](const AliasRecord& alias) { return alias.id == id; });
        return found.empty() ? nullptr : found.front();
    }
};

Images::Images(Connection& connection)
    : impl_(std::make_unique<Impl>(Impl{connection, connection.memory.images, connection.memory.aliases})) {}
Images::~Images() = default;

Result<> Images::load() {
    return impl_->connection.write(Durability::normal, [&]() -> Result<> {
        LX_TRY(impl_->load_images());
        return impl_->load_aliases();
    });
}

Result<ImagePtr> Images::create(ImageRecord record) {
    return impl_->connection.write_record<ImagePtr>(Durability::full, [&]() -> Result<ImagePtr> {
        if (find(record.fingerprint))
            return fail(Status::conflict, "Image with same fingerprint already exists");
        for (const auto& project : record.projects) LX_TRY(impl_->connection.memory.require_project(project));
        LX_TRY(impl_->insert(record));
        const std::string key = record.fingerprint;
        return impl_->images.put(key, std::move(record));
    });
}

ImagePtr Images::find(const std::string& fingerprint) const { return impl_->images.find(fingerprint); }

Result<ImagePtr> Images::find_prefix(const std::string& prefix, const std::string& project) const {
    if (auto exact = find(prefix); exact && is_visible(*exact, project)) return exact;
    if (prefix.empty()) return no_image();
    auto found = impl_->images.select(
        [&](const ImageRecord& r) { return r.fingerprint.starts_with(prefix) && is_visible(r, project); });
    if (found.empty()) return no_image();
    if (found.size() > 1) {
        return fail(Status::bad_request,
                    fmt::format("More than one image has a fingerprint starting with '{}'", prefix));
    }
    return std::move(found.front());
}

std::vector<ImagePtr> Images::list() const { return impl_->images.list(); }

Result<ImagePtr> Images::update(const ImageRecord& record) {
    return impl_->connection.write_record<ImagePtr>(Durability::full, [&]() -> Result<ImagePtr> {
        const ImagePtr current = find(record.fingerprint);
        if (!current || (record.id != 0 && record.id != current->id)) return no_image();
        ImageRecord next = *current;
        next.is_public = record.is_public;
        next.auto_update = record.auto_update;
        next.cached = record.cached;
        next.properties = record.properties;
        next.profiles = record.profiles;
        next.expires_at = record.expires_at;
        next.source = record.source;
        next.last_used_at = record.last_used_at;
        LX_TRY(impl_->rewrite(next));
        return impl_->images.put(record.fingerprint, std::move(next));
    });
}

Result<> Images::note_use(const std::string& fingerprint, Time last_used_at) {
    return impl_->connection.write(Durability::normal, [&]() -> Result<> {
        const ImagePtr current = find(fingerprint);
        if (!current) return {};
        ImageRecord next = *current;
        next.last_used_at = last_used_at;
        LX_TRY(
            impl_->connection.execute("UPDATE images SET last_used_at=? WHERE id=?", last_used_at, next.id));
        impl_->images.put(fingerprint, std::move(next));
        return {};
    });
}

Result<> Images::remove(const std::string& fingerprint) {
    return impl_->connection.write(Durability::full, [&]() -> Result<> {
        const ImagePtr current = find(fingerprint);
        if (!current) return no_image();
        LX_TRY(impl_->connection.execute("DELETE FROM images WHERE id=?", current->id));
        const auto gone =
            impl_->aliases.select([&](const AliasRecord& a) { return a.target == fingerprint; });
        for (const auto& alias : gone) impl_->aliases.erase(alias->name);
        impl_->images.erase(fingerprint);
        return {};
    });
}

Result<ImagePtr> Images::add_project(const std::string& fingerprint, const std::string& project) {
    return impl_->connection.write_record<ImagePtr>(Durability::full, [&]() -> Result<ImagePtr> {
        const ImagePtr current = find(fingerprint);
        if (!current) return no_image();
        if (is_visible(*current, project)) return current;
        LX_TRY(impl_->connection.memory.require_project(project));
        ImageRecord next = *current;
        next.projects.push_back(project);
        return impl_->set_projects(std::move(next));
    });
}

Result<ImagePtr> Images::leave_project(const std::string& fingerprint, const std::string& project) {
    return impl_->connection.write_record<ImagePtr>(Durability::full, [&]() -> Result<ImagePtr> {
        const ImagePtr current = find(fingerprint);
        if (!current || !is_visible(*current, project)) return no_image();
        const auto gone = impl_->aliases.select([&](const AliasRecord& alias) {
            return alias.target == fingerprint && api::split_alias_key(alias.name).project == project;
        });
        for (const auto& alias : gone) LX_TRY(remove_alias(alias->name));
        ImageRecord next = *current;
        std::erase(next.projects, project);
        return impl_->set_projects(std::move(next));
    });
}

Result<AliasPtr> Images::create_alias(AliasRecord record) {
    return impl_->connection.write_record<AliasPtr>(Durability::full, [&]() -> Result<AliasPtr> {
        if (find_alias(record.name)) return alias_exists(record.name);
        const ImagePtr image = find(record.target);
        if (!image) return no_image();
        LX_TRY(impl_->connection.execute(
            "INSERT INTO image_aliases (name, type, description, image_id) VALUES (?,?,?,?)", record.name,
            record.type, record.description, image->id));
        record.id = impl_->connection.last_insert_id();
        const std::string name = record.name;
        return impl_->aliases.put(name, std::move(record));
    });
}

AliasPtr Images::find_alias(const std::string& name) const { return impl_->aliases.find(name); }
std::vector<AliasPtr> Images::list_aliases() const { return impl_->aliases.list(); }

Result<AliasPtr> Images::update_alias(const AliasRecord& record) {
    return impl_->connection.write_record<AliasPtr>(Durability::full, [&]() -> Result<AliasPtr> {
        const AliasPtr current = impl_->alias_by_id(record.id);
        if (!current) return no_alias(record.name);
        if (record.name != current->name && find_alias(record.name)) return alias_exists(record.name);
        const ImagePtr image = find(record.target);
        if (!image) return no_image();
        LX_TRY(impl_->connection.execute(
            "UPDATE image_aliases SET name=?, type=?, description=?, image_id=? WHERE id=?", record.name,
            record.type, record.description, image->id, record.id));
        impl_->aliases.erase(current->name);
        return impl_->aliases.put(record.name, record);
    });
}

Result<> Images::remove_alias(const std::string& name) {
    return impl_->connection.write(Durability::full, [&]() -> Result<> {
        const AliasPtr current = find_alias(name);
        if (!current) return no_alias(name);
        LX_TRY(impl_->connection.execute("DELETE FROM image_aliases WHERE id=?", current->id));
        impl_->aliases.erase(name);
        return {};
    });
}

}  // namespace lxmgr::database
