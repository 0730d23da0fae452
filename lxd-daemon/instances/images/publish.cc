#include "lxd-daemon/instances/images/publish.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/instances/byte_report.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/image_store.h"
#include "lxd-daemon/instances/metadata.h"
#include "lxd-daemon/instances/projects.h"
#include "lxd-daemon/instances/snapshots.h"

namespace lxmgr::instances {
namespace {

/// What is to be packed, for as long as this lives.
struct Root {
    std::shared_ptr<const UniqueFd> shared;  ///< of an instance that stands still
    UniqueFd own;                            ///< of a snapshot
    UniqueFd directory;                      ///< to be read
};

Result<Root> open_root(Context& context, const database::InstanceRecord& record,
                       const std::string& snapshot_volume) {
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record.pool));
    const sys::IdMap as_inside = sys::IdMap::host();
    Root out;
    if (snapshot_volume.empty()) {
        LX_TRY_AS(out.shared, context.stopped_roots.get(*driver, record, as_inside, true));
    } else {
        LX_TRY_AS(auto mounted, driver->mount({storage::VolumeType::snapshot, snapshot_volume},
                                              {.idmap = &as_inside, .read_only = true}));
        out.own = std::move(mounted.root);
    }
    const int mounted = out.shared ? out.shared->get() : out.own.get();
    out.directory = UniqueFd(::openat(mounted, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!out.directory) return fail_errno("Opening the root of", record.name);
    return out;
}

/// What the instance's metadata say; properties of the request stand in place of theirs.
Result<images::Metadata> metadata_for(Context& context, const database::InstanceRecord& record,
                                      const api::ImagesPost& post) {
    LX_TRY_AS(const auto known, metadata_of(context, record));
    images::Metadata out = *known;
    out.architecture = record.architecture;
    out.creation_date = now();
    out.expiry_date = post.fields.expires_at;
    if (!post.fields.properties.empty()) out.properties = post.fields.properties;
    return out;
}

ImageUpload published_upload(const Context& context, const api::ImagesPost& post,
                             const images::ImportedImage& made) {
    ImageUpload upload;
    upload.files = made.files;
    upload.filename = post.filename;
    upload.properties = post.fields.properties;
    upload.profiles = image_profiles(context, post);
    upload.projects = {image_project(context, post.in_project)};
    upload.is_public = post.fields.is_public;
    upload.aliases = image_aliases(image_project(context, post.in_project), post.aliases);
    return upload;
}

}  // namespace

Result<PublishPlan> plan_publish(Context& context, api::ImagesPost post) {
    PublishPlan plan;
    const std::string& name = post.source.name;
    const auto slash = name.find('/');
    plan.instance = api::instance_key(post.in_project, name.substr(0, slash));
    if (slash != std::string::npos) plan.snapshot = name.substr(slash + 1);
    if ((post.source.type == "snapshot") != (slash != std::string::npos))
        return fail(Status::bad_request, fmt::format("'{}' is no name of a {}", name, post.source.type));
    LX_TRY(require(context, plan.instance));
    if (!plan.snapshot.empty()) LX_TRY(require_snapshot(context, plan.instance, plan.snapshot));
    std::string algorithm = post.compression_algorithm;
    if (algorithm.empty())
        algorithm = project_setting(context, post.in_project, "images.compression_algorithm");
    LX_TRY_AS(plan.packing, images::parse_packing(algorithm));
    if (post.format == "split") plan.packing.squashfs = true;
    if (!post.format.empty() && post.format != "split" && post.format != "unified")
        return fail(Status::bad_request, fmt::format("Image format '{}' is not known", post.format));
    if (post.fields.auto_update)
        return fail(Status::bad_request,
                    "auto_update is not possible: an image of an instance has no source");
    plan.post = std::move(post);
    return plan;
}

Result<database::ImagePtr> publish_image(Context& context, const PublishPlan& plan,
                                         operations::Operation& operation, const std::stop_token& stop) {
    LX_TRY_AS(const auto record, require(context, plan.instance));
    std::string volume;
    if (!plan.snapshot.empty()) {
        LX_TRY_AS(const auto snapshot, require_snapshot(context, plan.instance, plan.snapshot));
        volume = snapshot->volume;
    } else if (context.live.get(plan.instance).status != api::StatusCode::stopped) {
        return fail(Status::bad_request, "Cannot export a running instance as an image");
    }
    LX_TRY_AS(const Root root, open_root(context, *record, volume));
    LX_TRY_AS(const auto writing, context.deps.pools.kept_files().write(Kept::images));
    images::PackRequest request{
        .packing = plan.packing,
        .prefix = fmt::format("{}/publish-{}", writing.place->temporary(), random_hex(8)),
        .root_fd = root.directory.get()};
    LX_TRY_AS(request.metadata, metadata_for(context, *record, plan.post));
    ByteReport report(operation, "create_image_from_container_pack_progress", "Image pack: ");
    request.progress = [&report](std::uint64_t bytes) { report.at(bytes); };
    LX_TRY_AS(const auto made, images::make_image(request, stop));
    Revert undo;  // the store takes them away
    undo.add([files = made.files] {
        ::unlink(files.metadata_path.c_str());
        if (!files.rootfs_path.empty()) ::unlink(files.rootfs_path.c_str());
    });
    failpoint("image-publish-packed");
    ImageStore store(context.deps.database, context.deps.pools);
    LX_TRY_AS(auto image, store.keep(published_upload(context, plan.post, made), made));
    const std::string project = image_project(context, plan.post.in_project);
    events::publish_lifecycle(context.deps.events, "image-created",
                              api::with_project("/1.0/images/" + image->fingerprint, project),
                              R"({"type":"container"})", operation.requestor(), project);
    return image;
}

}  // namespace lxmgr::instances
