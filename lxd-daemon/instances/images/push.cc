#include "lxd-daemon/instances/images/push.h"

#include <fmt/format.h>

#include <chrono>

#include "images/servers/lxd_push.h"
#include "images/web/address.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/image_export.h"
#include "lxd-daemon/instances/image_store.h"
#include "lxd-daemon/instances/images/remote.h"

namespace lxmgr::instances {
namespace {

constexpr std::size_t kMaxSecret = 1024;

}  // namespace

Result<> check_push(const api::ImageExportPost& wanted) {
    LX_TRY_AS(const auto url, images::parse_url(wanted.target));
    if (url.scheme != "https")
        return fail(Status::bad_request, "The target server is not named by an https URL");
    if (wanted.secret.empty())
        return fail(Status::bad_request, "The secret with which the target server waits is missing");
    std::string all = wanted.secret + wanted.project;
    for (const auto& name : wanted.profiles) all += name;
    if (wanted.secret.size() > kMaxSecret || has_control_chars(all))
        return fail(Status::bad_request, "The target's secret, project or profiles are not usable");
    return {};
}

Result<> send_image(Context& context, const database::ImageRecord& image, const api::ImageExportPost& wanted,
                    operations::Operation& operation, std::stop_token stop) {
    const ImageStore store(context.deps.database, context.deps.pools);
    LX_TRY_AS(const auto opened, open_image_export(image.fingerprint, store.files_of(image)));
    database::ImageSource peer;
    peer.certificate = wanted.certificate;
    LX_TRY_AS(auto web, images::Web::open(web_access(context, peer, wanted.by_admin), std::move(stop)));
    images::ImagePush push{.target = wanted.target,
                           .secret = wanted.secret,
                           .project = wanted.project,
                           .fingerprint = image.fingerprint,
                           .filename = opened.filename,
                           .profiles = wanted.profiles,
                           .body = {&opened.pieces, size_of(opened.pieces), opened.content_type}};
    std::uint64_t shown = 0;
    push.progress = [&](std::uint64_t done, std::uint64_t total) {
        const std::uint64_t percent = total == 0 ? 100 : done * 100 / total;
        if (percent == shown) return;
        shown = percent;
        operation.update_metadata({{"upload_progress", fmt::format("image: {}%", percent)}});
    };
    return images::push_image(web, push);
}

}  // namespace lxmgr::instances
