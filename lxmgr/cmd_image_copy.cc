// image copy and refresh: images of other servers.
#include <fmt/format.h>

#include "lxmgr/commands.h"
#include "lxmgr/image_servers.h"
#include "lxmgr/images.h"
#include "lxmgr/object.h"
#include "lxmgr/options.h"
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

Result<int> run_image_copy(Client& client, const Args& args) {
    const std::string& name = args.text("REMOTE:IMAGE");
    const auto wanted = streams_image(name);
    if (!wanted || wanted->name.empty())
        return misuse(args, fmt::format("'{}' names no image of a server, such as images:debian/13", name));
    std::vector<std::string> aliases = args.list("alias");
    if (args.flag("copy-aliases")) {
        LX_TRY_AS(const Json image, find_streams_image(*wanted));
        for (auto& alias : own_aliases(image)) aliases.push_back(std::move(alias));
    }
    const Json body = {{"source", source_of(*wanted)},
                       {"public", args.flag("public")},
                       {"auto_update", args.flag("auto-update")}};
    LX_TRY_AS(const Json operation, client.call("POST", "/1.0/images", body, {"Copying " + name}));
    const std::string fingerprint = text_member(member(operation, "metadata"), "fingerprint");
    for (const auto& alias : aliases) LX_TRY(set_alias(client, alias, fingerprint));
    tell(fmt::format("Image copied with fingerprint {}", fingerprint));
    return 0;
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
constexpr Operand kRemoteImage[] = {{"REMOTE:IMAGE"}};
constexpr Option kCopyOptions[] = {
    {"--alias", "NAME", "another name for the image (may be repeated)", true},
    {"--copy-aliases", "", "give it the names that it has there"},
    {"--auto-update", "", "keep it up to date"},
    {"--public", "", "let clients that are not trusted have it"},
};
const Command kImageCopyCommands[] = {
    {"image copy", "Fetch an image from an image server", kRemoteImage, kCopyOptions,
     "The servers are images:, ubuntu:, ubuntu-daily: and ubuntu-minimal:, and those of the variable "
     "LXMGR_IMAGE_SERVERS\n(NAME=URL,NAME=URL).",
     "image copy images:debian/13 --alias debian/13\nimage copy ubuntu:24.04 --copy-aliases --auto-update",
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
