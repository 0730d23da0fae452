#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/database/codec.h"
#include "lxd-daemon/database/connection.h"

namespace lxmgr::database {
namespace {

constexpr const char* kDefaultName = "default";

std::unexpected<Error> no_profile(const std::string& name) {
    return fail(Status::not_found, fmt::format("Profile '{}' not found", name));
}
std::unexpected<Error> profile_exists(const std::string& name) {
    return fail(Status::conflict, fmt::format("Profile '{}' already exists", name));
}

template <typename Record>
bool lists(const Record& record, const std::string& profile) {
    return std::ranges::find(record.profiles, profile) != record.profiles.end();
}

// Rewrites the profile lists of the records in memory; in SQL they are references. An empty new name drops
// the entry.
template <typename Record, typename Key>
void replace_in_lists(Table<Record>& table, const std::string& name, const std::string& new_name, Key key) {
    const auto users = table.select([&](const Record& record) { return lists(record, name); });
    for (const auto& user : users) {
        Record next = *user;
        if (new_name.empty()) {
            std::erase(next.profiles, name);
        } else {
            std::ranges::replace(next.profiles, name, new_name);
        }
        table.put(std::invoke(key, *user), std::move(next));
    }
}

}  // namespace

struct Profiles::Impl {
    Connection& connection;
    Table<ProfileRecord>& table;
};

Profiles::Profiles(Connection& connection)
    : impl_(std::make_unique<Impl>(Impl{connection, connection.memory.profiles})) {}
Profiles::~Profiles() = default;

Result<> Profiles::load() {
    auto& db = impl_->connection;
    auto loaded = db.write(Durability::normal, [&]() -> Result<> {
        LX_TRY_AS(auto rows, db.prepare("SELECT id, name, description, config, devices FROM profiles"));
        while (true) {
            LX_TRY_AS(const bool more, rows.step());
            if (!more) return {};
            ProfileRecord record{rows.integer(0), rows.string(1), rows.string(2), {}, {}};
            const std::string what = fmt::format("profile '{}'", record.name);
            LX_TRY_AS(record.config, decode_config(rows.text(3), what));
            LX_TRY_AS(record.devices, decode_devices(rows.text(4), what));
            const std::string name = record.name;
            impl_->table.put(name, std::move(record));
        }
    });
    LX_TRY(std::move(loaded));
    if (find(kDefaultName)) return {};
    LX_TRY(create({0, kDefaultName, "Default profile", {}, {}}));
    return {};
}

Result<ProfilePtr> Profiles::create(ProfileRecord record) {
    return impl_->connection.write_record<ProfilePtr>(Durability::full, [&]() -> Result<ProfilePtr> {
        if (find(record.name)) return profile_exists(api::plain_name(record.name));
        const auto project = api::split_object_key(record.name).project;
        LX_TRY(impl_->connection.memory.require_project(project));
        LX_TRY(impl_->connection.execute(
            "INSERT INTO profiles (name, description, config, devices) VALUES (?,?,?,?)", record.name,
            record.description, encode(record.config), encode(record.devices)));
        record.id = impl_->connection.last_insert_id();
        const std::string name = record.name;
        return impl_->table.put(name, std::move(record));
    });
}

ProfilePtr Profiles::find(const std::string& name) const { return impl_->table.find(name); }
std::vector<ProfilePtr> Profiles::list() const { return impl_->table.list(); }
std::uint64_t Profiles::generation() const { return impl_->table.generation(); }

Result<ProfilePtr> Profiles::update(const ProfileRecord& record) {
    return impl_->connection.write_record<ProfilePtr>(Durability::full, [&]() -> Result<ProfilePtr> {
        const ProfilePtr current = find(record.name);
        if (!current || (record.id != 0 && record.id != current->id)) return no_profile(record.name);
        ProfileRecord next = record;
        next.id = current->id;
        LX_TRY(impl_->connection.execute("UPDATE profiles SET description=?, config=?, devices=? WHERE id=?",
                                         next.description, encode(next.config), encode(next.devices),
                                         next.id));
        return impl_->table.put(record.name, std::move(next));
    });
}

Result<ProfilePtr> Profiles::rename(const std::string& name, const std::string& new_name) {
    Memory& memory = impl_->connection.memory;
    return impl_->connection.write_record<ProfilePtr>(Durability::full, [&]() -> Result<ProfilePtr> {
        const ProfilePtr current = find(name);
        if (!current) return no_profile(name);
        if (find(new_name)) return profile_exists(api::plain_name(new_name));
        ProfileRecord next = *current;
        next.name = new_name;
        LX_TRY(impl_->connection.execute("UPDATE profiles SET name=? WHERE id=?", new_name, next.id));
        replace_in_lists(memory.instances, name, new_name, &InstanceRecord::name);
        replace_in_lists(memory.snapshots, name, new_name, &snapshot_key);
        replace_in_lists(memory.images, name, new_name, &ImageRecord::fingerprint);
        impl_->table.erase(name);
        return impl_->table.put(new_name, std::move(next));
    });
}

Result<> Profiles::remove(const std::string& name) {
    Memory& memory = impl_->connection.memory;
    return impl_->connection.write(Durability::full, [&]() -> Result<> {
        const ProfilePtr current = find(name);
        if (!current) return no_profile(name);
        const auto users = memory.instances.select([&](const InstanceRecord& r) { return lists(r, name); });
        if (!users.empty()) return fail(Status::bad_request, "Profile is currently in use");
        LX_TRY(impl_->connection.execute("DELETE FROM profiles WHERE id=?", current->id));
        replace_in_lists(memory.snapshots, name, {}, &snapshot_key);
        replace_in_lists(memory.images, name, {}, &ImageRecord::fingerprint);
        impl_->table.erase(name);
        return {};
    });
}

}  // namespace lxmgr::database
