#include "lxd-daemon/instances/images/remote.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include "images/architecture.h"
#include "images/web/address.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/projects.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

constexpr std::size_t kMaxName = 512;

std::string text_of(const api::ConfigMap& config, const char* key) {
    const auto found = config.find(key);
    return found == config.end() ? "" : found->second;
}

bool is_cached_by_default(const Context& context) {
    const std::string keep =
        text_of(context.deps.database.server_config().all(), "images.auto_update_cached");
    return keep.empty() || profiles::parse_bool(keep);
}

Result<> check_remote_name(const RemoteImage& wanted) {
    if (wanted.source.alias.empty())
        return fail(Status::bad_request, "The source names no image: give 'alias' or 'fingerprint'");
    if (wanted.source.alias.size() > kMaxName || has_control_chars(wanted.source.alias))
        return fail(Status::bad_request, "The name of the image is not usable");
    if (wanted.architecture.empty())
        return fail(Status::bad_request, "The architecture of the image is not known");
    return {};
}

}  // namespace

Result<ImageDownloads::Claim> ImageDownloads::claim(const std::string& key, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    if (!released_.wait(lock, stop, [&] { return !keys_.contains(key); }))
        return fail(Status::unavailable, "Waiting for the image was cancelled");
    keys_.insert(key);
    return Claim(*this, key);
}

void ImageDownloads::release(const std::string& key) {
    {
        const std::lock_guard lock(mutex_);
        keys_.erase(key);
    }
    released_.notify_all();
}

std::string default_architecture(const Context& context) {
    const std::string chosen =
        text_of(context.deps.database.server_config().all(), "images.default_architecture");
    if (!chosen.empty()) return std::string(images::architecture_name(chosen));
    utsname machine{};
    ::uname(&machine);
    return std::string(images::architecture_name(machine.machine));
}

images::WebAccess web_access(const Context& context, const database::ImageSource& source, bool may_be_local) {
    const auto config = context.deps.database.server_config().all();
    images::WebAccess out;
    out.proxy_http = text_of(config, "core.proxy_http");
    out.proxy_https = text_of(config, "core.proxy_https");
    out.proxy_ignore_hosts = text_of(config, "core.proxy_ignore_hosts");
    out.pinned_certificate = source.certificate;
    out.allow_local = (may_be_local && source.protocol != "direct") ||
                      profiles::parse_bool(text_of(config, "images.allow_local_urls"));
    return out;
}

Result<> check_remote(const RemoteImage& wanted) {
    const auto& source = wanted.source;
    LX_TRY_AS(const auto url, images::parse_url(source.server));
    if (url.scheme != "https")
        return fail(Status::bad_request, "The image server is not named by an https URL");
    for (const char* known : {"simplestreams", "lxd", "incus", "direct"}) {
        if (source.protocol == known) return check_remote_name(wanted);
    }
    return fail(Status::bad_request,
                fmt::format("Image servers of protocol '{}' are not known: there are simplestreams and lxd",
                            source.protocol));
}

Result<RemoteImage> remote_image_of(const Context& context, const api::InstanceSource& source,
                                    const std::string& architecture, const std::string& project) {
    if (!source.mode.empty() && source.mode != "pull")
        return fail(Status::bad_request,
                    fmt::format("Image mode '{}' is not supported: only pull", source.mode));
    RemoteImage out;
    out.source = {source.server, source.protocol.empty() ? "lxd" : source.protocol, source.certificate,
                  name_on_server(source)};
    out.secret = source.secret;
    out.project = source.project;
    out.architecture = architecture.empty() ? default_architecture(context)
                                            : std::string(images::architecture_name(architecture));
    out.cached = true;
    out.projects = {image_project(context, project)};
    out.auto_update = !source.alias.empty() && is_cached_by_default(context);
    out.may_be_local = source.by_admin;
    LX_TRY(check_remote(out));
    LX_TRY(check_server_allowed(context, project, source.server));
    return out;
}

}  // namespace lxmgr::instances
