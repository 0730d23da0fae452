// image copy and refresh: images of other servers.
#include <fmt/format.h>

#include "lxmgr/between_servers.h"
#include "lxmgr/commands.h"
#include "lxmgr/image_servers.h"
#include "lxmgr/image_transfer.h"
#include "lxmgr/images.h"
#include "lxmgr/object.h"
#include "lxmgr/options.h"
#include "lxmgr/reach.h"
#include "lxmgr/terminal.h"

namespace lxmgr::cli {
namespace {

/// The server's own names, without those that hold an architecture too.
std::vector<std::string> own_aliases(const Json& image) {
    const std::string suffix = "/" + text_member(member(image, "properties"), "architecture");
    std::vector<std::string> out;
    for (const auto& alias : member(image, "aliases")) {
        const std::string name = text_member(alias, "name");
        if (!name.ends_with(suffix)) out.push_back(name);
    }
    return out;
}

/// The names that the new image is to have, those of the source among them where that is asked for.
Result<> name_it(Client& target, const Args& args, std::vector<std::string> aliases,
                 const std::string& fingerprint) {
    aliases.insert(aliases.begin(), args.list("alias").begin(), args.list("alias").end());
    for (const auto& alias : aliases) LX_TRY(set_alias(target, alias, fingerprint));
    tell(fmt::format("Image copied with fingerprint {}", fingerprint));
    return {};
}

/// The target fetches it from an image server.
Result<int> copy_from_streams(Client& target, const Args& args, const StreamsImage& wanted) {
    if (args.given("mode"))
        return misuse(args, "--mode is for images of servers of your own, 'lxmgr remote list' shows them");
    std::vector<std::string> aliases;
    if (args.flag("copy-aliases")) {
        LX_TRY_AS(const Json image, find_streams_image(wanted));
        aliases = own_aliases(image);
    }
    const Json body = {{"source", source_of(wanted)},
                       {"public", args.flag("public")},
                       {"auto_update", args.flag("auto-update")}};
    LX_TRY_AS(const Json operation,
              target.call("POST", "/1.0/images", body, {"Copying " + args.text("REMOTE:IMAGE")}));
    LX_TRY(
        name_it(target, args, std::move(aliases), text_member(member(operation, "metadata"), "fingerprint")));
    return 0;
}

Result<int> copy_between(Client& source, Client& target, const Args& args) {
    const std::string& name = args.text("REMOTE:IMAGE");
    LX_TRY_AS(const std::string fingerprint, find_image(source, name));
    LX_TRY_AS(Json image, source.get(api_path({"images", fingerprint})));
    std::vector<std::string> aliases;
    for (const auto& alias : member(image, "aliases")) {
        if (args.flag("copy-aliases")) aliases.push_back(text_member(alias, "name"));
    }
    const bool updates = args.flag("auto-update");
    if (updates && (args.given("mode") && args.text("mode") != "pull"))
        return misuse(args, "--auto-update needs --mode pull: the new server is to look for newer ones");
    if (updates && (fingerprint.starts_with(name) || member(image, "public") != true))
        return misuse(args,
                      fmt::format("--auto-update needs an alias of a public image, which '{}' is not", name));
    LX_TRY(transfer_image(source, target,
                          {.image = std::move(image),
                           .alias = updates ? name : "",
                           .is_public = args.flag("public"),
                           .mode = args.text("mode")}));
    LX_TRY(name_it(target, args, std::move(aliases), fingerprint));
    return 0;
}

Result<int> run_image_copy(Client& client, const Args& args) {
    const std::string& name = args.text("REMOTE:IMAGE");
    const auto streams = streams_image(name);
    const bool elsewhere = is_between_servers(args);
    if ((streams && streams->name.empty()) || name.empty())
        return misuse(args, fmt::format("'{}' names no image of a server, such as images:debian/13", name));
    if (!elsewhere && !args.text("TARGET:").empty())
        return misuse(args,
                      fmt::format("'{}' is no server: name a remote, such as lab:", args.text("TARGET:")));
    if (!elsewhere && args.given("target-project"))
        return misuse(args, "--target-project is for a server that is named: give --project");
    if (!elsewhere && streams) return copy_from_streams(client, args, *streams);
    if (!elsewhere)
        return misuse(args, fmt::format("'{0}' would be copied to the server that it is on: name an image of "
                                        "another one, such as images:debian/13 or lab:{0}, or another "
                                        "server for it, such as lab:",
                                        name));
    LX_TRY_AS(auto there, place_there(args, "TARGET:"));
    auto& [target, rest] = there;
    if (!rest.empty()) return misuse(args, fmt::format("'{}' must end with its colon", args.text("TARGET:")));
    return streams ? copy_from_streams(target, args, *streams) : copy_between(client, target, args);
}

Result<int> run_image_refresh(Client& client, const Args& args) {
    for (const auto& name : args.list("IMAGE")) {
        LX_TRY_AS(const std::string fingerprint, find_image(client, name));
        auto done = client.call("POST", api_path({"images", fingerprint, "refresh"}), nullptr,
                                {"Refreshing image " + name});
        if (!done)
            return std::unexpected(in(fmt::format("Refreshing image '{}'", name), std::move(done).error()));
        const bool is_new = member(member(*done, "metadata"), "refreshed") == true;
        tell(fmt::format("Image '{}' {}", name, is_new ? "was refreshed" : "is up to date"));
    }
    return 0;
}

constexpr Operand kRefreshed[] = {{"IMAGE", Count::some, Kind::image}};
constexpr Operand kRemoteImage[] = {{"REMOTE:IMAGE"}, {"TARGET:", Count::optional}};
constexpr Option kCopyOptions[] = {
    {"--alias", "NAME", "another name for the image (may be repeated)", true},
    {"--copy-aliases", "", "give it the names that it has there"},
    {"--auto-update", "", "keep it up to date"},
    {"--public", "", "let clients that are not trusted have it"},
    kTransferMode,
    {"--target-project", "PROJECT", "the project there"},
};
const Command kImageCopyCommands[] = {
    {"image copy", "Fetch an image from another server, or copy one to it", kRemoteImage, kCopyOptions,
     "Image servers are images:, ubuntu:, ubuntu-daily: and ubuntu-minimal:, and those of the variable "
     "LXMGR_IMAGE_SERVERS\n(NAME=URL,NAME=URL). Other servers, lxmgr's and LXD's, are the remotes of 'lxmgr "
     "remote'. Without TARGET: the\nimage comes to the default server.",
     "image copy images:debian/13 --alias debian/13\nimage copy ubuntu:24.04 --copy-aliases --auto-update\n"
     "image copy lab:web --alias web\nimage copy web lab: --public",
     run_image_copy},
    {"image refresh",
     "Look for a newer version of images that were copied",
     kRefreshed,
     {},
     "A newer one takes the place and the aliases of the old one; instances stay as they are.",
     "image refresh debian/13",
     run_image_refresh},
};

}  // namespace

std::span<const Command> image_copy_commands() { return kImageCopyCommands; }

}  // namespace lxmgr::cli
