#include "lxd-daemon/instances/recovery/scan.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "images/metadata_json.h"
#include "images/yaml_json.h"
#include "lxd-daemon/api/json_reader.h"
#include "lxd-daemon/api/json_text.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/instances/recovery/note.h"
#include "lxd-daemon/instances/snapshots.h"
#include "profiles/config_keys.h"
#include "storage/tree/list.h"

namespace lxmgr::instances {
namespace {

using nlohmann::json;
using storage::VolumeType;

const json& part(const json& object, const char* key) {
    static const json kNone = json::object();
    const auto found = object.find(key);
    return found != object.end() && found->is_object() ? *found : kNone;
}

template <typename Record>
Result<> read_instance_like(const json& object, Record& out) {
    api::Reader reader(object);
    reader.text("name", out.name).text("description", out.description);
    reader.text("architecture", out.architecture).flag("ephemeral", out.ephemeral);
    reader.map("config", out.config).map("devices", out.devices).list("profiles", out.profiles);
    LX_TRY(reader.time("created_at", out.created_at).time("last_used_at", out.last_used_at).done());
    LX_TRY(profiles::validate_instance_config(out.config, true));
    return profiles::validate_devices(out.devices, false);
}

Result<> read_profiles(const json& note, std::vector<database::ProfileRecord>& out) {
    const auto list = note.find("profiles");
    if (list == note.end() || !list->is_array()) return {};
    for (const auto& object : *list) {
        if (!object.is_object()) return fail(Status::bad_request, "A profile is no object");
        auto& profile = out.emplace_back();
        api::Reader reader(object);
        reader.text("name", profile.name).text("description", profile.description);
        LX_TRY(reader.map("config", profile.config).map("devices", profile.devices).done());
        LX_TRY(profiles::validate_profile_name(api::plain_name(profile.name)));
        LX_TRY(profiles::validate_instance_config(profile.config, false));
        LX_TRY(profiles::validate_devices(profile.devices, false));
    }
    return {};
}

Result<LostInstance> read_instance(const json& note, const std::string& name) {
    LostInstance out;
    LX_TRY(read_instance_like(part(note, "container"), out.record));
    out.record.name = name;  // a rename may have come between
    LX_TRY(profiles::validate_instance_name(api::instance_name(name)));
    LX_TRY(read_profiles(note, out.profiles));
    LX_TRY(api::Reader(note).text("image_metadata", out.metadata).done());
    if (!out.metadata.empty()) LX_TRY(images::decode_metadata(out.metadata));
    return out;
}

Result<database::SnapshotRecord> read_snapshot(const json& note, const std::string& volume) {
    database::SnapshotRecord out;
    const json& object = part(note, "snapshot");
    LX_TRY(read_instance_like(object, out));
    LX_TRY(api::Reader(object).time("expires_at", out.expires_at).done());
    LX_TRY(validate_snapshot_name(out.name));
    out.volume = volume;
    return out;
}

template <typename Record>
Result<> read_volume_like(const json& object, const std::string& directory, Record& out) {
    api::Reader reader(object);
    reader.text("name", out.name).text("description", out.description).map("config", out.config);
    LX_TRY(reader.time("created_at", out.created_at).done());
    LX_TRY(profiles::validate_volume_config(out.config));
    out.volume = directory;
    return {};
}

template <typename Record>
void put_in_order(std::vector<Record>& rows) {
    std::ranges::stable_sort(rows, {}, &Record::created_at);
}

class Scan {
public:
    Scan(Context& context, const std::string& pool, storage::Driver& driver)
        : context_(context), pool_(pool), driver_(driver) {}

    Result<Lost> run() {
        for (const auto& row : context_.deps.database.snapshots().list_all()) known_.insert(row->volume);
        for (const auto& row : context_.deps.database.volumes().list_all()) known_.insert(row->volume);
        for (const auto& row : context_.deps.database.volumes().all_snapshots()) known_.insert(row->volume);
        LX_TRY_AS(const auto snapshots, driver_.list_volumes(VolumeType::snapshot));
        for (const auto& volume : snapshots) {
            if (known_.contains(volume)) continue;
            json note = read_note(driver_, {VolumeType::snapshot, volume});
            if (note.is_object()) snapshots_[api::text_in(note, "of_instance")].emplace_back(volume, note);
        }
        LX_TRY_AS(const auto names, driver_.list_volumes(VolumeType::container));
        for (const auto& name : names) {
            const auto row = context_.rows().find(name);
            if (!row || row->pool != pool_) add_instance(name);
        }
        LX_TRY_AS(const auto directories, driver_.list_volumes(VolumeType::custom));
        add_volumes(directories);
        return std::move(lost_);
    }

private:
    void refuse(const std::string& what, const std::string& why) {
        lost_.errors.push_back(fmt::format("{} in pool '{}': {}", what, pool_, why));
    }

    void add_instance(const std::string& name) {
        const std::string what = fmt::format("Instance '{}'", name);
        const json note = read_note(driver_, {VolumeType::container, name});
        if (!note.is_object()) return refuse(what, "There is no readable backup.yaml beside it");
        auto lost = read_instance(note, name);
        if (!lost) return refuse(what, lost.error().message);
        if (context_.rows().find(name)) return refuse(what, "There is another instance of that name");
        const auto uuid = lost->record.config.find("volatile.uuid");
        const auto own = snapshots_.find(uuid == lost->record.config.end() ? "" : uuid->second);
        if (own != snapshots_.end()) {
            for (const auto& [volume, of_snapshot] : own->second) {
                auto row = read_snapshot(of_snapshot, volume);
                if (!row) {
                    refuse(fmt::format("A snapshot of instance '{}'", name), row.error().message);
                } else {
                    lost->snapshots.push_back(*std::move(row));
                }
            }
            snapshots_.erase(own);
        }
        put_in_order(lost->snapshots);
        lost->record.pool = pool_;
        lost_.instances.push_back(*std::move(lost));
    }

    /// Directories of volumes and of their snapshots stand side by side.
    void add_volumes(const std::vector<std::string>& directories) {
        std::map<std::string, std::vector<database::VolumeSnapshotRecord>> snapshots;
        for (const auto& directory : directories) {
            if (known_.contains(directory)) continue;
            const json note = read_note(driver_, {VolumeType::custom, directory});
            const std::string what = fmt::format("Custom volume in directory '{}'", directory);
            if (!note.is_object()) {
                refuse(what, "There is no readable backup.yaml beside it");
            } else if (note.contains("volume_snapshot")) {
                database::VolumeSnapshotRecord row;
                const json& object = part(note, "volume_snapshot");
                auto read = read_volume_like(object, directory, row);
                if (read) read = api::Reader(object).time("expires_at", row.expires_at).done();
                if (read) read = validate_snapshot_name(row.name);
                if (!read) {
                    refuse(what, read.error().message);
                } else {
                    snapshots[api::text_in(note, "of_volume")].push_back(std::move(row));
                }
            } else if (auto read = add_volume(part(note, "volume"), directory); !read) {
                refuse(what, read.error().message);
            }
        }
        for (auto& volume : lost_.volumes) {
            volume.snapshots = std::move(snapshots[volume.record.volume]);
            put_in_order(volume.snapshots);
        }
    }

    Result<> add_volume(const json& object, const std::string& directory) {
        LostVolume lost;
        LX_TRY(read_volume_like(object, directory, lost.record));
        LX_TRY(api::Reader(object).text("content_type", lost.record.content_type).done());
        LX_TRY(profiles::validate_volume_name(api::plain_name(lost.record.name)));
        if (lost.record.content_type != "filesystem" && lost.record.content_type != "block")
            return fail(Status::bad_request, "Its content type is not known");
        if (context_.deps.database.volumes().find(pool_, lost.record.name))
            return fail(Status::bad_request,
                        fmt::format("There is another volume of its name, '{}'", lost.record.name));
        lost.record.pool = pool_;
        lost_.volumes.push_back(std::move(lost));
        return {};
    }

    Context& context_;
    const std::string& pool_;
    storage::Driver& driver_;
    std::set<std::string> known_;
    std::map<std::string, std::vector<std::pair<std::string, json>>> snapshots_;  ///< by uuid of the instance
    Lost lost_;
};

std::vector<std::string> shown_names_in(const std::string& directory) {
    std::vector<std::string> out;
    const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return out;
    if (auto entries = storage::list_directory(fd.get())) {
        for (auto& entry : *entries) {
            if (!entry.name.starts_with('.')) out.push_back(std::move(entry.name));
        }
    }
    std::ranges::sort(out);
    return out;
}

/// What some note in the pool says of it.
std::optional<api::StoragePoolsPost> described_pool(const std::string& path, const std::string& name) {
    for (const char* kind : {"containers", "custom"}) {
        const std::string directory = path + "/" + kind;
        for (const auto& volume : shown_names_in(directory)) {
            const std::string found = fmt::format("{}/{}", directory, volume);
            const UniqueFd fd(::open(found.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
            const json note = fd ? read_note(fd.get(), volume) : json();
            if (!note.is_object()) continue;
            auto post = api::parse_storage_pools_post(part(note, "pool"));
            if (post && post->name == name) return *std::move(post);
        }
    }
    return std::nullopt;
}

}  // namespace

Result<Lost> find_lost(Context& context, const std::string& pool, storage::Driver& driver) {
    return Scan(context, pool, driver).run();
}

std::vector<api::StoragePoolsPost> find_lost_pools(const Context& context) {
    std::vector<api::StoragePoolsPost> out;
    const std::string pools = context.deps.state_dir + "/storage-pools";
    for (const auto& name : shown_names_in(pools)) {
        if (context.deps.database.pools().find(name)) continue;
        if (auto post = described_pool(pools + "/" + name, name)) out.push_back(*std::move(post));
    }
    return out;
}

bool is_of_lost_instance(Context& context, const std::string& pool, storage::Driver& driver,
                         const std::string& snapshot_volume) {
    const json note = read_note(driver, {VolumeType::snapshot, snapshot_volume});
    if (!note.is_object()) return false;
    const std::string uuid = api::text_in(note, "of_instance");
    const auto names = driver.list_volumes(VolumeType::container);
    if (!names || uuid.empty()) return false;
    return std::ranges::any_of(*names, [&](const std::string& name) {
        if (const auto row = context.rows().find(name); row && row->pool == pool) return false;
        const json of_instance = read_note(driver, {VolumeType::container, name});
        return of_instance.is_object() &&
               api::text_in(part(part(of_instance, "container"), "config"), "volatile.uuid") == uuid;
    });
}

}  // namespace lxmgr::instances
