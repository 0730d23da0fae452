// publish: an image made of an instance or of a snapshot; or, with ports, those (cmd_port.cc).
#include <fmt/format.h>

#include "lxmgr/commands.h"
#include "lxmgr/images.h"
#include "lxmgr/object.h"
#include "lxmgr/options.h"
#include "lxmgr/port_spec.h"
#include "lxmgr/terminal.h"

namespace lxmgr::cli {
namespace {

Result<int> run_publish(Client& client, const Args& args) {
    const std::string& name = args.text("INSTANCE[/SNAPSHOT]");
    const auto& words = args.list("KEY=VALUE");
    if (!words.empty() && looks_like_ports(words.front())) return publish_ports(client, args, name, words);
    Json properties = Json::object();
    for (const auto& word : words) {
        const auto pair = parse_pair(word);
        if (!pair) return misuse(args, pair.error().message);
        properties[pair->first] = pair->second;
    }
    Json body = {{"source", {{"type", name.contains('/') ? "snapshot" : "instance"}, {"name", name}}},
                 {"properties", std::move(properties)},
                 {"public", args.flag("public")},
                 {"compression_algorithm", args.text("compression")}};
    auto operation = client.call("POST", "/1.0/images", body, {"Publishing " + name});
    if (!operation)
        return std::unexpected(in(fmt::format("Publishing '{}'", name), std::move(operation).error()));
    const std::string fingerprint = text_member(member(*operation, "metadata"), "fingerprint");
    for (const auto& alias : args.list("alias")) LX_TRY(set_alias(client, alias, fingerprint));
    tell(fmt::format("Image published with fingerprint {}", fingerprint));
    return 0;
}

constexpr Operand kPublishOperands[] = {{"INSTANCE[/SNAPSHOT]", Count::one, Kind::instance},
                                        {"KEY=VALUE", Count::any}};
constexpr Option kPublishOptions[] = {
    {"--alias", "NAME", "a name for the image (may be repeated)", true},
    {"--public", "", "let clients that are not trusted have it"},
    {"--name", "NAME", "of a published port, instead of port-PORT"},
    {"--compression", "NAME", "gzip, zstd, xz, none or squashfs; else images.compression_algorithm"},
};
const Command kPublishCommands[] = {
    {"publish", "Make an image of an instance, or publish its ports on the host", kPublishOperands,
     kPublishOptions,
     "The instance must be stopped; one of its snapshots does while it runs. KEY=VALUE sets a property. With "
     "ports ([ADDRESS:]PORT[:PORT][/PROTOCOL]) in place of properties, these are published as by port add.",
     "publish web 8080:80\npublish web --alias golden\npublish web/before --alias old --compression zstd",
     run_publish},
};

}  // namespace

std::span<const Command> publish_commands() { return kPublishCommands; }

}  // namespace lxmgr::cli
