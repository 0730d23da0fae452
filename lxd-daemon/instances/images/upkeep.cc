#include "lxd-daemon/instances/images/upkeep.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "images/web/address.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/image_store.h"
#include "lxd-daemon/instances/images/remote.h"
#include "lxd-daemon/instances/snapshot_timer.h"
#include "lxd-daemon/operations/worker_pool.h"

namespace lxmgr::instances {
namespace {

constexpr std::chrono::minutes kUseNoted{1};
constexpr std::int64_t kUpdateHours = 6, kExpiryDays = 10;  // LXD's

std::int64_t number_of(const api::ConfigMap& config, const char* key, std::int64_t otherwise) {
    const auto found = config.find(key);
    return found == config.end() ? otherwise : parse_int(found->second).value_or(otherwise);
}

/// Those of the projects for which it was looked for.
void move_aliases(Context& context, const database::ImageRecord& from, const std::string& to) {
    auto& images = context.deps.database.images();
    for (const auto& alias : images.list_aliases()) {
        if (alias->target != from.fingerprint ||
            !database::is_visible(from, api::split_alias_key(alias->name).project))
            continue;
        database::AliasRecord next = *alias;
        next.target = to;
        if (auto moved = images.update_alias(next); !moved)
            log::warn("alias not moved to the newer image", {{"error", moved.error().message}});
    }
}

/// From the projects that have it as the record says.
Result<> remove_image(Context& context, const database::ImageRecord& image, const std::string& requestor) {
    ImageStore store(context.deps.database, context.deps.pools);
    for (const auto& project : image.projects) {
        LX_TRY(store.remove(image.fingerprint, project));
        events::publish_lifecycle(context.deps.events, "image-deleted",
                                  api::with_project("/1.0/images/" + image.fingerprint, project), "",
                                  requestor, project);
    }
    return {};
}

Time used_at(const database::ImageRecord& image) { return std::max(image.last_used_at, image.uploaded_at); }

Time image_expiry_of(const Context& context, const database::ImageRecord& image) {
    const auto days =
        number_of(context.deps.database.server_config().all(), "images.remote_cache_expiry", kExpiryDays);
    if (!image.cached || days == 0) return {};
    return used_at(image) + std::chrono::hours(24 * days);
}

operations::Request expiry_request(Context& context, const std::string& fingerprint) {
    operations::Request request;
    request.description = "Cleaning up expired images";
    request.resources = {{"images", {fingerprint}}};
    request.locks = {ImageStore::kImageLock};
    request.body = [&context, fingerprint](operations::Operation&,
                                           std::stop_token) -> Result<nlohmann::json> {
        const auto image = context.deps.database.images().find(fingerprint);
        // Used again before this began.
        if (image && image_expiry_of(context, *image) != Time{} && image_expiry_of(context, *image) <= now())
            LX_TRY(remove_image(context, *image, ""));
        return nlohmann::json(nullptr);
    };
    return request;
}

void begin(Context& context, operations::Request request) {
    if (auto started = context.deps.operations.start(std::move(request)); !started)
        log::error("upkeep of images not begun", {{"error", started.error().message}});
}

/// By what its URL says, which only a full administrator could give: a name may lead elsewhere by now.
bool has_local_server(const database::ImageSource& source) {
    const auto url = images::parse_url(source.server);
    return url && images::is_local_name(url->host);
}

}  // namespace

Result<bool> refresh_image(Context& context, const std::string& fingerprint, operations::Operation& operation,
                           std::stop_token stop) {
    const auto old = context.deps.database.images().find(fingerprint);
    if (!old) return fail(Status::not_found, "Image not found");
    if (!old->source)
        return fail(Status::bad_request, "The image was not fetched: it has no source to be refreshed from");
    RemoteImage wanted{.source = *old->source,
                       .architecture = old->architecture,
                       .cached = old->cached,
                       .auto_update = old->auto_update,
                       .may_be_local = has_local_server(*old->source),
                       .is_public = old->is_public,
                       .profiles = old->profiles,
                       .projects = old->projects};
    LX_TRY_AS(const auto fresh, fetch_newest(context, wanted, operation, std::move(stop)));
    if (fresh->fingerprint == fingerprint) return false;
    database::ImageRecord next = *fresh;
    next.last_used_at = old->last_used_at;
    next.cached = old->cached && fresh->cached;
    LX_TRY(context.deps.database.images().update(next));
    move_aliases(context, *old, fresh->fingerprint);
    LX_TRY(remove_image(context, *old, operation.requestor()));
    return true;
}

operations::Request refresh_request(Context& context, const std::string& fingerprint,
                                    const std::string& requestor) {
    operations::Request request;
    request.description = "Refreshing image";
    request.resources = {{"images", {fingerprint}}};
    request.requestor = requestor;
    request.may_cancel = true;
    request.body = [&context, fingerprint](operations::Operation& operation,
                                           std::stop_token stop) -> Result<nlohmann::json> {
        LX_TRY_AS(const bool refreshed, refresh_image(context, fingerprint, operation, std::move(stop)));
        return nlohmann::json{{"refreshed", refreshed}};
    };
    return request;
}

Time look_after_images(Context& context, Time time, ImageAttempts& attempts) {
    const auto hours =
        number_of(context.deps.database.server_config().all(), "images.auto_update_interval", kUpdateHours);
    Time next{};
    std::set<std::string> present;
    for (const auto& image : context.deps.database.images().list()) {
        present.insert(image->fingerprint);
        if (const Time expiry = image_expiry_of(context, *image); expiry != Time{}) {
            if (expiry <= time) begin(context, expiry_request(context, image->fingerprint));
            next = earlier(next, std::max(expiry, time + std::chrono::hours(1)));
        }
        // One that several projects have must not be replaced for all because one wanted it so.
        if (!image->auto_update || !image->source || hours == 0 || image->projects.size() > 1) continue;
        Time& tried = attempts.try_emplace(image->fingerprint, image->uploaded_at).first->second;
        if (tried + std::chrono::hours(hours) <= time) {
            tried = time;
            begin(context, refresh_request(context, image->fingerprint, ""));
        }
        next = earlier(next, tried + std::chrono::hours(hours));
    }
    std::erase_if(attempts, [&](const auto& entry) { return !present.contains(entry.first); });
    return next;
}

void note_image_use(Context& context, const std::string& fingerprint) {
    const auto image = context.deps.database.images().find(fingerprint);
    const Time time = now();
    if (!image || time < image->last_used_at + kUseNoted) return;
    context.deps.workers.post([&context, fingerprint, time] {
        if (auto noted = context.deps.database.images().note_use(fingerprint, time); !noted)
            log::warn("use of an image not noted", {{"error", noted.error().message}});
    });
}

}  // namespace lxmgr::instances
