#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/copies.h"
#include "lxd-daemon/instances/snapshots.h"
#include "lxd-daemon/instances/volume_size.h"

namespace lxmgr::instances {
namespace {

/// The instance with what it knows of its image exchanged.
database::InstanceRecord rebuilt(const database::InstanceRecord& record, const database::ImageRecord* image) {
    database::InstanceRecord out = record;
    std::erase_if(out.config, [](const auto& entry) { return entry.first.starts_with("image."); });
    out.config.erase("volatile.base_image");
    out.metadata_id = image != nullptr ? image->metadata_id : 0;
    if (image != nullptr) {
        for (const auto& [key, value] : image->properties) out.config.emplace("image." + key, value);
        out.config["volatile.base_image"] = image->fingerprint;
        out.architecture = image->architecture;
    }
    out.config["volatile.apply_template"] = "create";
    out.config["volatile.cloud-init.instance-id"] = random_uuid();
    return out;
}

/// A new root beside the old one. image: none is an empty root.
Result<> make_root(Context& context, const database::InstanceRecord& record, const storage::Volume& fresh,
                   const database::ImageRecord* image, operations::Operation* operation,
                   std::stop_token stop) {
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record.pool));
    if (image == nullptr) return driver->create_volume(fresh, [](int) { return Result<>{}; });
    return make_image_root(context, *driver, fresh, record, *image, operation, std::move(stop));
}

Result<database::ImagePtr> image_of(const Context& context, const std::string& fingerprint) {
    if (fingerprint.empty()) return database::ImagePtr();
    auto image = context.deps.database.images().find(fingerprint);
    if (!image) return fail(Status::not_found, "Image not found");
    return image;
}

}  // namespace

Result<> rebuild_instance(Context& context, const std::string& name, const std::string& fingerprint,
                          operations::Operation& operation, std::stop_token stop,
                          const std::string& requestor) {
    LX_TRY_AS(const auto record, require(context, name));
    if (context.live.get(name).status != api::StatusCode::stopped)
        return fail(Status::bad_request, "Instance must be stopped to be rebuilt");
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record->pool));
    LX_TRY_AS(const auto image, image_of(context, fingerprint));
    const auto fresh = as_root(context, *record, new_snapshot_volume());
    LX_TRY(in_room_for(fmt::format("instance '{}'", name),
                       make_root(context, *record, fresh, image.get(), &operation, std::move(stop))));
    Revert undo;
    undo.add([&] { delete_snapshot_volume(context, record->pool, fresh.name); });
    auto& intents = context.deps.database.intents();
    LX_TRY_AS(const auto intent,
              intents.add("rebuild-instance", {{"name", name}, {"fingerprint", fingerprint}}));
    undo.add([&] {
        if (auto removed = intents.remove(intent); !removed)
            log::error("intent left", {{"error", removed.error().message}});
    });
    failpoint("instances.rebuild.intent");
    LX_TRY(replace_root(context, rebuilt(*record, image.get()), *driver, fresh, intent));
    undo.commit();
    failpoint("instances.rebuild.done");
    context.lifecycle("instance-rebuilt", name, requestor, nullptr);
    return {};
}

Result<> redo_rebuild(Context& context, const database::IntentRecord& interrupted) {
    const auto record = context.rows().find(interrupted.details.at("name"));
    if (!record || context.live.get(record->name).status != api::StatusCode::stopped) return {};
    const std::string& fingerprint = interrupted.details.at("fingerprint");
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record->pool));
    LX_TRY_AS(const auto image, image_of(context, fingerprint));
    const auto fresh = as_root(context, *record, new_snapshot_volume());
    LX_TRY(make_root(context, *record, fresh, image.get(), nullptr, {}));
    return replace_root(context, rebuilt(*record, image.get()), *driver, fresh, interrupted.id);
}

}  // namespace lxmgr::instances
