#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "images/architecture.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/device_steps.h"
#include "lxd-daemon/instances/disk_rates.h"
#include "lxd-daemon/instances/images/upkeep.h"
#include "lxd-daemon/instances/kept_addresses.h"
#include "lxd-daemon/instances/names.h"
#include "lxd-daemon/instances/own_idmap.h"
#include "lxd-daemon/instances/project_limits.h"
#include "lxd-daemon/instances/projects.h"
#include "lxd-daemon/instances/settings.h"
#include "lxd-daemon/instances/volume_size.h"
#include "profiles/config_keys.h"
#include "profiles/instance_size.h"

namespace lxmgr::instances {
namespace {

Result<> make_volume(Context& context, storage::Driver& driver, const CreatePlan& plan,
                     operations::Operation& operation, std::stop_token stop) {
    const storage::Volume volume = new_root(context, plan.record);
    if (plan.fingerprint.empty()) return driver.create_volume(volume, [](int) { return Result<>{}; });
    const auto image = context.deps.database.images().find(plan.fingerprint);
    if (!image) return fail(Status::not_found, "Image not found");
    return make_image_root(context, driver, volume, plan.record, *image, &operation, std::move(stop));
}

void use_image(const Context& context, CreatePlan& plan, const database::ImageRecord& image) {
    plan.fingerprint = image.fingerprint;
    plan.record.architecture = image.architecture;
    plan.record.metadata_id = image.metadata_id;
    if (!plan.own_profiles)
        plan.record.profiles = profiles_there(context, project_of(plan.record), image.profiles);
    for (const auto& [key, value] : image.properties) plan.record.config.emplace("image." + key, value);
}

/// What depends on the profiles, too.
Result<> check_plan(Context& context, CreatePlan& plan) {
    LX_TRY(check_new_record(context, plan.record));
    const auto expanded = expand(context, plan.record);
    // A look whether it can be; create_instance() keeps it.
    LX_TRY(assign_idmap(context, expanded.config, plan.record));
    return prepare_devices(context, expanded.devices, plan.record);
}

/// The image whose properties hold all of `wanted`; of several the one that came last.
Result<database::ImagePtr> newest_image_with(const std::vector<database::ImagePtr>& images,
                                             const api::ConfigMap& wanted, const std::string& holder) {
    database::ImagePtr found;
    for (const auto& image : images) {
        const auto has = [&image](const auto& property) {
            const auto own = image->properties.find(property.first);
            return own != image->properties.end() && own->second == property.second;
        };
        if (!database::is_visible(*image, holder) || !std::ranges::all_of(wanted, has)) continue;
        if (!found || image->uploaded_at > found->uploaded_at) found = image;
    }
    if (!found) return fail(Status::not_found, "No image has all of these properties");
    return found;
}

}  // namespace

Result<database::ImagePtr> find_image(const Context& context, const api::InstanceSource& source,
                                      const std::string& project) {
    auto& images = context.deps.database.images();
    const std::string holder = image_project(context, project);
    if (!source.fingerprint.empty()) return images.find_prefix(source.fingerprint, holder);
    if (!source.alias.empty()) {
        const auto alias = images.find_alias(api::alias_key(holder, source.alias));
        if (!alias) return fail(Status::not_found, fmt::format("Image alias '{}' not found", source.alias));
        return images.find_prefix(alias->target, holder);
    }
    if (!source.properties.empty()) return newest_image_with(images.list(), source.properties, holder);
    return fail(Status::bad_request,
                "The source names no image: give 'alias', 'fingerprint' or 'properties'");
}

Result<> check_profiles(const Context& context, const std::vector<std::string>& keys) {
    for (auto it = keys.begin(); it != keys.end(); ++it) {
        const std::string name = api::plain_name(*it);
        if (!context.deps.database.profiles().find(*it))
            return fail(Status::bad_request, fmt::format("Profile '{}' does not exist", name));
        if (std::find(keys.begin(), it, *it) != it)
            return fail(Status::bad_request, fmt::format("Profile '{}' is named twice", name));
    }
    return {};
}

/// Empty: this machine's.
Result<std::string> architecture_of(const std::string& given) {
    if (given.empty()) {
        utsname machine{};
        ::uname(&machine);
        return std::string(images::architecture_name(machine.machine));
    }
    std::string name(images::architecture_name(given));
    if (name.empty())
        return fail(Status::bad_request,
                    fmt::format("Architecture '{}' is not known: give one such as x86_64 or aarch64", given));
    return name;
}

void add_volatile(database::InstanceRecord& record, const std::string& fingerprint,
                  const std::string& trigger) {
    record.config["volatile.base_image"] = fingerprint;
    if (fingerprint.empty()) record.config.erase("volatile.base_image");
    record.config["volatile.apply_template"] = trigger;
    record.config["volatile.cloud-init.instance-id"] = random_uuid();
    record.config["volatile.uuid"] = random_uuid();
    record.config["volatile.last_state.idmap"] = "[]";
    record.config["volatile.last_state.power"] = "STOPPED";
}

Result<> check_new_record(Context& context, database::InstanceRecord& record) {
    const auto expanded = expand(context, record);
    LX_TRY(profiles::validate_devices(expanded.devices, true));
    LX_TRY_AS(const auto root, root_disk(expanded.devices));
    record.pool = root.second;
    LX_TRY(context.deps.pools.driver(record.pool));
    const std::string file_system =
        api::value_of(expanded.devices.at(root.first), "initial.block.filesystem");
    if (!file_system.empty())
        LX_TRY(context.deps.pools.check_volume_config(record.pool, {{"block.filesystem", file_system}}));
    LX_TRY(validate_devices_for(context, expanded.devices, record));
    CpuPlacement trial;  // what it will hold is chosen at its start
    LX_TRY(all_limits(context, record, expanded, trial));
    LX_TRY(settings_of(expanded.config));
    LX_TRY(check_in_project(context, record));
    if (!context.rows().find(record.name)) return {};
    return fail(Status::conflict, fmt::format("Instance \"{}\" already exists", record.name));
}

Result<> complete_plan(Context& context, CreatePlan& plan, const database::ImageRecord& image) {
    use_image(context, plan, image);
    plan.record.config["volatile.base_image"] = image.fingerprint;
    return check_plan(context, plan);
}

Result<CreatePlan> plan_create(Context& context, api::InstancesPost post) {
    CreatePlan plan;
    auto& record = plan.record;
    if (!post.type.empty() && post.type != "container") {
        return fail(Status::bad_request,
                    fmt::format("Instance type '{}' is not supported: only containers", post.type));
    }
    if (post.stateful) return fail(Status::bad_request, "Stateful creation is not supported");
    if (!post.instance_type.empty()) {
        LX_TRY_AS(auto limits, profiles::limits_of_size(post.instance_type));
        post.config.merge(limits);  // what is given by name counts
    }
    const std::string& project = post.in_project;
    const std::string name = post.name.empty() ? random_name() : post.name;
    LX_TRY(profiles::validate_instance_name(name));
    record.name = api::instance_key(project, name);
    plan.own_profiles = post.profiles.has_value();
    record.profiles = profile_keys(context, project, post.profiles);
    LX_TRY(check_profiles(context, record.profiles));
    std::erase_if(post.config, [](const auto& entry) {
        return entry.first.starts_with("volatile.") && !entry.first.ends_with(".hwaddr");
    });
    LX_TRY(profiles::validate_instance_config(post.config, true));
    LX_TRY(profiles::validate_devices(post.devices, false));
    record.description = post.description;
    LX_TRY_AS(record.architecture, architecture_of(post.architecture));
    record.ephemeral = post.ephemeral;
    record.config = std::move(post.config);
    record.devices = std::move(post.devices);
    record.created_at = now();

    if (post.source.type == "image" && !post.source.server.empty()) {
        LX_TRY_AS(plan.remote, remote_image_of(context, post.source, post.architecture, project));
    } else if (post.source.type == "image") {
        LX_TRY_AS(const auto image, find_image(context, post.source, project));
        use_image(context, plan, *image);
    } else if (post.source.type != "none") {
        return fail(Status::bad_request,
                    fmt::format("Source type '{}' is not supported: use 'image', 'copy' or 'none'",
                                post.source.type));
    }
    add_volatile(record, plan.fingerprint, "create");
    LX_TRY(check_plan(context, plan));
    plan.start = post.start;
    return plan;
}

Result<> create_instance(Context& context, const CreatePlan& plan, operations::Operation& operation,
                         std::stop_token stop) {
    context.deps.runtime.expect_start();  // what is created is mostly started at once
    const std::string& name = plan.record.name;
    auto& database = context.deps.database;
    if (context.rows().find(name))
        return fail(Status::conflict, fmt::format("Instance \"{}\" already exists", name));
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(plan.record.pool));
    LX_TRY_AS(const auto intent,
              database.intents().add("create-instance", {{"pool", plan.record.pool}, {"name", name}}));
    Revert undo;
    undo.add([&] {
        if (auto removed = database.intents().remove(intent); !removed)
            log::error("intent left", {{"error", removed.error().message}});
    });
    failpoint("instances.create.intent");
    LX_TRY(in_room_for(fmt::format("instance '{}'", name),
                       make_volume(context, *driver, plan, operation, stop)));
    undo.add([&] {
        auto removed = driver->delete_volume({storage::VolumeType::container, name});
        if (!removed) log::error("volume left", {{"instance", name}, {"error", removed.error().message}});
    });
    failpoint("instances.create.volume");
    database::InstanceRecord record = plan.record;
    const auto expanded = expand(context, record);
    auto idmap_lock = lock_idmaps(context, expanded.config);
    LX_TRY(assign_idmap(context, expanded.config, record));
    record.config["volatile.idmap.current"] = record.config["volatile.idmap.next"];
    const auto stored = database.transaction([&]() -> Result<> {
        LX_TRY(check_in_project(context, record));
        LX_TRY(context.rows().create(record));
        return database.intents().remove(intent);
    });
    LX_TRY(stored);
    if (idmap_lock.owns_lock()) idmap_lock.unlock();
    undo.commit();
    failpoint("instances.create.row");
    if (!plan.start) settle_addresses(context, name);
    context.lifecycle("instance-created", name, plan.requestor,
                      {{"type", "container"}, {"storage-pool", plan.record.pool}});
    context.snapshot_timer.poke();
    if (!plan.fingerprint.empty()) note_image_use(context, plan.fingerprint);
    if (plan.start) return start_instance(context, name, plan.requestor);
    return {};
}

}  // namespace lxmgr::instances
