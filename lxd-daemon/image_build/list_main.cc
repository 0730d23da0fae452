#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "images/architecture.h"
#include "images/streams/server.h"
#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/log.h"

namespace {

using lxmgr::images::StreamImage;

/// As GET /1.0/images shows an image.
nlohmann::json to_json(const StreamImage& image, const std::string& architecture) {
    auto aliases = nlohmann::json::array();
    for (const auto& name : lxmgr::images::names_of(image, architecture))
        aliases.push_back({{"name", name}, {"description", ""}});
    return {{"aliases", std::move(aliases)},
            {"architecture", image.architecture},
            {"auto_update", false},
            {"cached", false},
            {"created_at", lxmgr::to_rfc3339(image.created_at)},
            {"expires_at", lxmgr::to_rfc3339(image.expires_at)},
            {"filename", image.filename},
            {"fingerprint", image.fingerprint},
            {"last_used_at", lxmgr::to_rfc3339({})},
            {"properties", image.properties},
            {"public", true},
            {"size", image.size_bytes},
            {"type", "container"},
            {"uploaded_at", lxmgr::to_rfc3339(image.created_at)}};
}

}  // namespace

/// Prints what a simplestreams server has as JSON; the error on stderr, exit status 1 when it failed.
int main(int argc, char** argv) {
    CLI::App app{"Lists the container images of a simplestreams server as JSON"};
    std::string url;
    std::string architecture;
    app.add_option("URL", url, "https URL of the server")->required();
    app.add_option("--architecture", architecture, "That of aliases without one")->required();
    CLI11_PARSE(app, argc, argv);

    lxmgr::log::open(lxmgr::log::Level::warn, "");
    auto server = lxmgr::images::StreamServer::open(url, {}, {});
    auto images =
        server ? server->images() : lxmgr::Result<std::vector<StreamImage>>(std::unexpected(server.error()));
    if (!images) {
        fmt::print(stderr, "{}\n", images.error().message);
        return 1;
    }
    auto out = nlohmann::json::array();
    const std::string name(lxmgr::images::architecture_name(architecture));
    for (const auto& image : *images) out.push_back(to_json(image, name));
    fmt::print("{}\n", out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    return 0;
}
