#include <fcntl.h>

#include "images/image.h"
#include "images/yaml_json.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/api/storage_pool.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/instances/backups/steps.h"
#include "lxd-daemon/instances/metadata.h"
#include "lxd-daemon/instances/snapshots.h"

namespace lxmgr::instances {
namespace {

using nlohmann::json;

void make_portable(json& object) {
    for (const char* member : {"config", "expanded_config"}) {
        json& config = object[member];
        for (auto at = config.begin(); at != config.end();)
            at = is_portable(at.key()) ? std::next(at) : config.erase(at);
    }
}

json volume_entry(const std::string& key) {
    const auto [project, name] = api::split_instance_key(key);
    return {{"name", name},
            {"type", "container"},
            {"content_type", "filesystem"},
            {"config", json::object()},
            {"description", ""},
            {"used_by", json::array()},
            {"location", "none"},
            {"project", project}};
}

constexpr std::string_view kPlainTrees = "dir";

/// The keys of LXD's index; where it names the driver, "dir" says what the content is: plain trees.
json config_of(Context& context, const database::InstanceRecord& record,
               const std::vector<database::SnapshotPtr>& snapshots, std::string_view driver) {
    json container = json::parse(api::to_json_text(view(context, record)));
    make_portable(container);
    json out{{"container", std::move(container)},
             {"snapshots", json::array()},
             {"profiles", json::array()},
             {"volume", volume_entry(record.name)},
             {"volume_snapshots", json::array()}};
    for (const auto& row : snapshots) {
        json snapshot = json::parse(api::to_json_text(view(context, *row)));
        make_portable(snapshot);
        out["snapshots"].push_back(std::move(snapshot));
        out["volume_snapshots"].push_back({{"name", row->name},
                                           {"content_type", "filesystem"},
                                           {"config", json::object()},
                                           {"description", ""},
                                           {"expires_at", to_rfc3339(row->expires_at)}});
    }
    out["pool"] = api::to_json(api::StoragePool{record.pool, std::string(driver), "", {}, {}});
    for (const auto& name : record.profiles) {
        const auto profile = context.deps.database.profiles().find(name);
        if (!profile) continue;
        out["profiles"].push_back({{"name", api::plain_name(profile->name)},
                                   {"description", profile->description},
                                   {"config", profile->config},
                                   {"devices", profile->devices},
                                   {"used_by", json::array()}});
    }
    return out;
}

json index_of(const database::InstanceRecord& record, const json& config, std::string_view driver) {
    const bool optimized = driver != kPlainTrees;
    json names = json::array();
    for (const auto& snapshot : config["snapshots"]) names.push_back(snapshot["name"]);
    const std::string name(api::instance_name(record.name));
    return {{"name", name},           {"backend", std::string(driver)},
            {"pool", record.pool},    {"snapshots", names},
            {"optimized", optimized}, {"optimized_header", optimized},
            {"type", "container"},    {"config", config}};
}

/// One of the instance's volumes with what stands beside its root.
class Writer {
public:
    Writer(storage::Driver& driver, images::TarWriter& tar, const images::Metadata& metadata)
        : driver_(driver), tar_(tar), metadata_(metadata) {}

    Result<> add(const std::string& path, const json& config, const storage::Volume& volume) {
        LX_TRY(tar_.add_directory(path, 0100));
        LX_TRY(tar_.add_text(path + "/backup.yaml", images::json_to_yaml(config), 0400));
        LX_TRY(tar_.add_text(path + "/metadata.yaml", images::to_yaml(metadata_), 0644));
        if (!metadata_.files.empty()) LX_TRY(tar_.add_directory(path + "/templates", 0755));
        for (const auto& [name, content] : metadata_.files)
            LX_TRY(tar_.add_text(path + "/templates/" + name, content, 0644));
        const sys::IdMap as_inside = sys::IdMap::host();
        LX_TRY_AS(const auto mounted, driver_.mount(volume, {.idmap = &as_inside, .read_only = true}));
        const UniqueFd root(::openat(mounted.root.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!root) return fail_errno("Opening", volume.name);
        return tar_.add_tree(path + "/rootfs", root.get());
    }

private:
    storage::Driver& driver_;
    images::TarWriter& tar_;
    const images::Metadata& metadata_;
};

}  // namespace

bool is_portable(const std::string& key) {
    for (const char* kept : {"volatile.base_image", "volatile.uuid", "volatile.apply_template",
                             "volatile.cloud-init.instance-id", "volatile.last_state.idmap"}) {
        if (key == kept) return true;
    }
    return !key.starts_with("volatile.") || key.ends_with(".hwaddr");
}

Result<> write_instance_index(Context& context, const database::InstanceRecord& record, bool with_snapshots,
                              std::string_view driver, images::TarWriter& tar, BackupContent& content) {
    if (with_snapshots) content.snapshots = context.deps.database.snapshots().list(record.id);
    content.config = config_of(context, record, content.snapshots, driver);
    const json index = index_of(record, content.config, driver);
    return tar.add_text("backup/index.yaml", images::json_to_yaml(index), 0644);
}

Result<> write_instance_backup(Context& context, const database::InstanceRecord& record, bool with_snapshots,
                               images::TarWriter& tar) {
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record.pool));
    LX_TRY_AS(const auto metadata, metadata_of(context, record));
    BackupContent content;
    LX_TRY(write_instance_index(context, record, with_snapshots, kPlainTrees, tar, content));
    // A root in use cannot be mounted a second time, and goes on changing.
    const auto moment = new_snapshot_volume();
    LX_TRY(copy_root(context, record, *driver, moment));
    Revert undo;
    undo.add([&] { delete_snapshot_volume(context, record.pool, moment.name); });
    failpoint("instances.backup.moment");
    Writer writer(*driver, tar, *metadata);
    for (const auto& row : content.snapshots)
        LX_TRY(writer.add("backup/snapshots/" + row->name, content.config,
                          {storage::VolumeType::snapshot, row->volume}));
    return writer.add("backup/container", content.config, moment);
}

}  // namespace lxmgr::instances
