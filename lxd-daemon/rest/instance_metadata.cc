#include <unistd.h>

#include "images/metadata_json.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"

// What the image of an instance said: metadata.yaml as JSON, and its templates as raw files (?path=NAME).
namespace lxmgr::rest {
namespace {

using MetadataPtr = std::shared_ptr<const images::Metadata>;

boost::asio::awaitable<Result<MetadataPtr>> metadata_of(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    auto read = [&services, name = request.path_arg("name")] { return services.instances->metadata(name); };
    auto pending = on_worker(services, std::move(read));
    co_return co_await std::move(pending);
}

Handled metadata_get(const Request& request, Services& services) {
    auto reading = metadata_of(request, services);
    LX_CO_TRY_AS(const auto metadata, co_await std::move(reading));
    const auto json = images::metadata_to_json(*metadata);
    services.instances->lifecycle("instance-metadata-retrieved", request.path_arg("name"),
                                  request.requestor_json);
    co_return Response::sync(json).with_etag(etag_of(json));
}

Handled replace_metadata(const Request& request, Services& services, bool merge) {
    auto reading = metadata_of(request, services);
    LX_CO_TRY_AS(const auto current, co_await std::move(reading));
    const auto json = images::metadata_to_json(*current);
    LX_CO_TRY(check_etag(request, etag_of(json)));
    LX_CO_TRY_AS(auto body, request.json());
    if (merge) {
        auto merged = json;
        for (const auto& [key, value] : body.items()) {
            auto& old = merged[key];
            if (key == "properties" && value.is_object() && old.is_object()) {
                old.update(value);
            } else {
                old = value;
            }
        }
        body = std::move(merged);
    }
    LX_CO_TRY_AS(auto metadata, images::metadata_from_json(body));
    auto change = [&services, name = request.path_arg("name"), metadata = std::move(metadata),
                   who = request.requestor_json] {
        return services.instances->replace_metadata(name, metadata, who);
    };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::empty();
}

Handled metadata_put(const Request& request, Services& services) {
    auto done = replace_metadata(request, services, false);
    co_return co_await std::move(done);
}
Handled metadata_patch(const Request& request, Services& services) {
    auto done = replace_metadata(request, services, true);
    co_return co_await std::move(done);
}

Handled templates_get(const Request& request, Services& services) {
    auto reading = metadata_of(request, services);
    LX_CO_TRY_AS(const auto metadata, co_await std::move(reading));
    const std::string path = request.query_or("path", "");
    if (path.empty()) {
        auto names = nlohmann::json::array();
        for (const auto& [name, content] : metadata->files) names.push_back(name);
        co_return Response::sync(names);
    }
    const auto found = metadata->files.find(path);
    if (found == metadata->files.end()) co_return fail(Status::not_found, "Template not found");
    services.instances->lifecycle("instance-metadata-template-retrieved", request.path_arg("name"),
                                  request.requestor_json, {{"path", path}});
    co_return Response::raw(found->second, "application/octet-stream");
}

Result<std::string> template_path(const Request& request) {
    LX_TRY(check_project(request));
    std::string path = request.query_or("path", "");
    if (path.empty()) return fail(Status::bad_request, "Missing path argument");
    return path;
}

Result<std::string> content_of(const BodyFile& body) {
    constexpr std::uint64_t kMost = std::uint64_t{1} << 20;
    if (body.size_bytes > kMost) return fail(Status::bad_request, "A template is at most 1 MiB");
    std::string text(static_cast<std::size_t>(body.size_bytes), '\0');
    if (::pread(body.fd.get(), text.data(), text.size(), 0) != std::ssize(text))
        return fail_errno("Reading", "the body");
    return text;
}

Handled template_post(const Request& request, Services& services) {
    LX_CO_TRY_AS(const std::string path, template_path(request));
    if (request.files.size() != 1) co_return fail(Status::bad_request, "The request has no body to write");
    auto write = [&services, name = request.path_arg("name"), path, body = request.files.front(),
                  who = request.requestor_json]() -> Result<> {
        LX_TRY_AS(std::string text, content_of(*body));
        return services.instances->change_template(name, path, std::move(text), who);
    };
    auto pending = on_worker(services, std::move(write));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::empty();
}

Handled template_delete(const Request& request, Services& services) {
    LX_CO_TRY_AS(const std::string path, template_path(request));
    auto remove = [&services, name = request.path_arg("name"), path, who = request.requestor_json] {
        return services.instances->change_template(name, path, std::nullopt, who);
    };
    auto pending = on_worker(services, std::move(remove));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::empty();
}

constexpr Route kInstanceMetadataRoutes[] = {
    {Verb::get, "/1.0/instances/{name}/metadata", Access::can_view, metadata_get},
    {Verb::put, "/1.0/instances/{name}/metadata", Access::can_edit, metadata_put},
    {Verb::patch, "/1.0/instances/{name}/metadata", Access::can_edit, metadata_patch},
    {Verb::get, "/1.0/instances/{name}/metadata/templates", Access::can_view, templates_get},
    {Verb::post, "/1.0/instances/{name}/metadata/templates", Access::can_edit, template_post, Body::raw_file},
    {Verb::del, "/1.0/instances/{name}/metadata/templates", Access::can_edit, template_delete},
};

}  // namespace

std::span<const Route> instance_metadata_routes() { return kInstanceMetadataRoutes; }

}  // namespace lxmgr::rest
