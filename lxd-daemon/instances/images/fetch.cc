#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "images/servers/server.h"
#include "images/sha256.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/image_store.h"
#include "lxd-daemon/instances/images/remote.h"

namespace lxmgr::instances {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

/// Text for clients, not oftener than a few times a second.
class DownloadReport {
public:
    explicit DownloadReport(operations::Operation& operation) : operation_(operation) {}

    void at(std::string_view what, std::uint64_t done, std::uint64_t total) {
        const SteadyTime time = std::chrono::steady_clock::now();
        if (what != what_) {
            what_ = what;
            began_ = time;
            shown_at_ = {};
        }
        if (time < shown_at_ + kPause && done != total) return;
        shown_at_ = time;
        show(done, total, std::chrono::duration<double>(time - began_).count());
    }

private:
    static constexpr std::chrono::milliseconds kPause{200};

    void show(std::uint64_t done, std::uint64_t total, double seconds) {
        const double speed = seconds > 0.01 ? static_cast<double>(done) / seconds : 0;
        const std::uint64_t percent = total == 0 ? 0 : done * 100 / total;
        operation_.update_metadata(
            {{"download_progress", fmt::format("{}: {}% ({:.2f}MB/s)", what_, percent, speed / 1e6)},
             {"progress",
              {{"stage", fmt::format("download_{}", what_)},
               {"percent", std::to_string(percent)},
               {"speed", std::to_string(static_cast<std::uint64_t>(speed))}}}});
    }

    operations::Operation& operation_;
    std::string what_;
    SteadyTime began_, shown_at_;
};

std::string interval_of(const Context& context) {
    const auto config = context.deps.database.server_config().all();
    const auto found = config.find("images.auto_update_interval");
    return found == config.end() ? "" : found->second;
}

/// Null unless all who want it have it: another project's is shown to nobody for its name alone.
database::ImagePtr if_shared(database::ImagePtr image, const RemoteImage& wanted) {
    const auto has_it = [&](const std::string& project) { return database::is_visible(*image, project); };
    return image && std::ranges::all_of(wanted.projects, has_it) ? image : nullptr;
}

/// The one that can be had without a look at the server: by its fingerprint, or, for an instance, one that
/// was fetched under the same name and is kept up to date.
database::ImagePtr stored_image(const Context& context, const RemoteImage& wanted) {
    auto& images = context.deps.database.images();
    if (images::is_sha256(wanted.source.alias)) return if_shared(images.find(wanted.source.alias), wanted);
    if (!wanted.cached || interval_of(context) == "0") return nullptr;
    for (const auto& image : images.list()) {
        // Those of several projects are kept up to date for none.
        if (image->auto_update && image->projects.size() == 1 && image->source == wanted.source &&
            image->architecture == wanted.architecture && if_shared(image, wanted))
            return image;
    }
    return nullptr;
}

/// The row is other projects', too, and it is not "default" that asks, whose word it is (ImageStore).
bool is_for_others(const database::ImageRecord& image, const RemoteImage& wanted) {
    const auto asks = [&](const std::string& project) {
        return std::ranges::find(wanted.projects, project) != wanted.projects.end();
    };
    return !std::ranges::all_of(image.projects, asks) && !asks(std::string(api::kDefaultProject));
}

/// An image that is here already is now asked for in this way, too.
Result<database::ImagePtr> take_over(Context& context, const database::ImagePtr& image,
                                     const RemoteImage& wanted) {
    if (wanted.cached) return image;
    database::ImageRecord next = *image;
    next.cached = false;
    next.is_public = image->is_public || wanted.is_public;
    next.auto_update = image->source && (image->auto_update || wanted.auto_update);
    for (const auto& [key, value] : wanted.properties) next.properties[key] = value;
    LX_TRY(check_image_properties(next.properties));
    // One that was fetched just now has its aliases since it has its row.
    std::vector<database::AliasRecord> missing = wanted.aliases;
    auto& images = context.deps.database.images();
    std::erase_if(missing, [&](const auto& alias) {
        const auto there = images.find_alias(alias.name);
        return there && there->target == image->fingerprint;
    });
    const bool same = next.is_public == image->is_public && next.auto_update == image->auto_update &&
                      next.properties == image->properties;
    if (!same && is_for_others(*image, wanted)) return shared_image();
    database::ImagePtr taken;
    const auto stored = context.deps.database.transaction([&]() -> Result<> {
        LX_TRY_AS(taken, images.update(next));
        return create_image_aliases(context.deps.database, std::move(missing), image->fingerprint);
    });
    LX_TRY(stored);
    return taken;
}

ImageUpload upload_of(const RemoteImage& wanted, const images::OfferedImage& found,
                      images::ImageFiles files) {
    ImageUpload upload;
    upload.files = std::move(files);
    upload.filename = wanted.filename.empty() ? found.filename : wanted.filename;
    upload.expected_fingerprint = found.fingerprint;
    upload.expected_architecture = found.architecture;
    upload.properties = wanted.properties;
    upload.properties.insert(found.properties.begin(), found.properties.end());
    upload.profiles = wanted.profiles;
    upload.projects = wanted.projects;
    upload.is_public = wanted.is_public;
    upload.cached = wanted.cached;
    upload.auto_update = wanted.auto_update;
    upload.source = wanted.source;
    upload.expires_at = found.expires_at;
    upload.aliases = wanted.aliases;
    return upload;
}

Result<database::ImagePtr> download(Context& context, images::ImageServer& server,
                                    const images::OfferedImage& found, const RemoteImage& wanted,
                                    operations::Operation& operation, const std::stop_token& stop) {
    LX_TRY_AS(const auto writing, context.deps.pools.kept_files().write(Kept::images));
    const std::string prefix = fmt::format("{}/image-{}", writing.place->temporary(), random_hex(8));
    DownloadReport report(operation);
    const auto shown = [&report](std::string_view what, std::uint64_t done, std::uint64_t total) {
        report.at(what, done, total);
    };
    LX_TRY_AS(images::ImageFiles files, server.download(prefix, shown));
    Revert undo;  // the store takes them away, or refuses them
    undo.add([files] {
        ::unlink(files.metadata_path.c_str());
        if (!files.rootfs_path.empty()) ::unlink(files.rootfs_path.c_str());
    });
    failpoint("image-fetch-downloaded");
    ImageStore store(context.deps.database, context.deps.pools);
    return store.import(upload_of(wanted, found, std::move(files)), stop);
}

Result<database::ImagePtr> fetch_from(Context& context, const RemoteImage& wanted,
                                      operations::Operation& operation, const std::stop_token& stop) {
    const auto& source = wanted.source;
    LX_TRY_AS(const auto server,
              images::open_image_server({.protocol = source.protocol,
                                         .url = source.server,
                                         .secret = wanted.secret,
                                         .project = wanted.project,
                                         .access = web_access(context, source, wanted.may_be_local)},
                                        stop));
    LX_TRY_AS(const auto found, server->find(source.alias, wanted.architecture));
    // Under another name, or from another server, it may be on its way already.
    LX_TRY_AS(const auto claim, context.image_downloads.claim(found.fingerprint, stop));
    if (auto image = if_shared(context.deps.database.images().find(found.fingerprint), wanted)) return image;
    LX_TRY_AS(auto image, download(context, *server, found, wanted, operation, stop));
    const std::string& project = wanted.projects.front();
    events::publish_lifecycle(context.deps.events, "image-created",
                              api::with_project("/1.0/images/" + image->fingerprint, project),
                              R"({"type":"container"})", operation.requestor(), project);
    context.snapshot_timer.poke();
    return image;
}

Result<database::ImagePtr> fetch(Context& context, const RemoteImage& wanted,
                                 operations::Operation& operation, const std::stop_token& stop) {
    auto image = fetch_from(context, wanted, operation, stop);
    if (image) return image;
    return std::unexpected(
        in(fmt::format("Fetching image '{}'", wanted.source.alias), std::move(image).error()));
}

std::string key_of(const RemoteImage& wanted) {
    return fmt::format("{}\n{}\n{}", wanted.source.server, wanted.source.alias, wanted.architecture);
}

}  // namespace

Result<database::ImagePtr> fetch_image(Context& context, const RemoteImage& wanted,
                                       operations::Operation& operation, std::stop_token stop) {
    if (auto image = stored_image(context, wanted)) return take_over(context, image, wanted);
    LX_TRY_AS(const auto claim, context.image_downloads.claim(key_of(wanted), stop));
    if (auto image = stored_image(context, wanted)) return take_over(context, image, wanted);
    LX_TRY_AS(const auto image, fetch(context, wanted, operation, stop));
    return take_over(context, image, wanted);
}

Result<database::ImagePtr> fetch_newest(Context& context, const RemoteImage& wanted,
                                        operations::Operation& operation, std::stop_token stop) {
    LX_TRY_AS(const auto claim, context.image_downloads.claim(key_of(wanted), stop));
    return fetch(context, wanted, operation, stop);
}

}  // namespace lxmgr::instances
