#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "lxmgr/commands.h"
#include "lxmgr/image_servers.h"
#include "lxmgr/images.h"
#include "lxmgr/object.h"
#include "lxmgr/options.h"
#include "lxmgr/table.h"
#include "lxmgr/terminal.h"
#include "lxmgr/units.h"

namespace lxmgr::cli {
namespace {

constexpr std::size_t kShortFingerprint = 12;

std::string aliases_of(const Json& image) {
    std::string text;
    for (const auto& alias : member(image, "aliases")) {
        text += fmt::format("{}{}", text.empty() ? "" : "\n", text_member(alias, "name"));
    }
    return text;
}

std::string size_of(const Json& image) {
    const Json& size = member(image, "size");
    return size.is_number() ? human_bytes(size.get<std::uint64_t>()) : "";
}

Result<int> run_image_list(Client& client, const Args& args) {
    const auto remote = streams_image(args.text("FILTER"));
    const std::string filter = remote ? remote->name : args.text("FILTER");
    LX_TRY_AS(const Json images,
              remote ? list_streams(remote->remote) : client.get("/1.0/images?recursion=1"));
    Table table{{"ALIAS", "FINGERPRINT", "PUBLIC", "DESCRIPTION", "ARCHITECTURE", "TYPE", "SIZE", "UPLOADED"},
                {}};
    Json shown = Json::array();
    for (const auto& image : images) {
        const std::string aliases = aliases_of(image);
        const std::string fingerprint = text_member(image, "fingerprint");
        if (!fingerprint.starts_with(filter) && !aliases.contains(filter)) continue;
        table.rows.push_back(
            {aliases, fingerprint.substr(0, kShortFingerprint),
             member(image, "public") == true ? "yes" : "no",
             text_member(member(image, "properties"), "description"), text_member(image, "architecture"),
             text_member(image, "type") == "virtual-machine" ? "VIRTUAL-MACHINE" : "CONTAINER",
             size_of(image), human_time(text_member(image, "uploaded_at"))});
        shown.push_back(image);
    }
    const Format format = format_of(args.text("format"));
    print_list(format, table, shown);
    if (images.empty() && format == Format::table)
        hint("Make the first image with: lxmgr image build debian/12");
    return 0;
}

Result<Json> image_named(Client& client, const std::string& name) {
    if (const auto remote = streams_image(name)) return find_streams_image(*remote);
    LX_TRY_AS(const std::string fingerprint, find_image(client, name));
    return client.get(api_path({"images", fingerprint}));
}

Result<int> run_image_info(Client& client, const Args& args) {
    LX_TRY_AS(const Json image, image_named(client, args.text("IMAGE")));
    const auto line = [](std::string_view title, const std::string& value) {
        if (!value.empty()) fmt::print("{}: {}\n", title, printable(value));
    };
    line("Fingerprint", text_member(image, "fingerprint"));
    for (const auto& alias : member(image, "aliases")) line("Alias", text_member(alias, "name"));
    line("Size", size_of(image));
    line("Architecture", text_member(image, "architecture"));
    line("Type", text_member(image, "type"));
    line("Public", member(image, "public") == true ? "yes" : "no");
    line("Created", human_time(text_member(image, "created_at")));
    line("Uploaded", human_time(text_member(image, "uploaded_at")));
    line("Expires", human_time(text_member(image, "expires_at")));
    line("Last used", human_time(text_member(image, "last_used_at")));
    const Json& properties = member(image, "properties");
    if (properties.is_object() && !properties.empty()) fmt::print("Properties:\n");
    for (const auto& [key, value] : properties.items())
        line("  " + printable(key), text_member(properties, key));
    return 0;
}

Result<int> run_image_show(Client& client, const Args& args) {
    LX_TRY_AS(const Json image, image_named(client, args.text("IMAGE")));
    print_object(Format::yaml, image);
    return 0;
}

bool is_url(std::string_view word) { return word.starts_with("https://") || word.starts_with("http://"); }

Result<> add_aliases(Client& client, const Args& args, const std::string& fingerprint) {
    for (const auto& alias : args.list("alias")) LX_TRY(set_alias(client, alias, fingerprint));
    tell(fmt::format("Image imported with fingerprint {}", fingerprint));
    return {};
}

/// Words with '=' are properties, the others files, a folder or a URL.
Result<int> run_image_import(Client& client, const Args& args) {
    ImportRequest request;
    std::vector<std::string> files;
    struct stat status{};
    for (const auto& word : args.list("FILE")) {
        if (is_url(word) || !word.contains('=') || ::stat(word.c_str(), &status) == 0) {
            files.push_back(word);
            continue;
        }
        const auto pair = parse_pair(word);
        if (!pair) return misuse(args, pair.error().message);
        request.properties.push_back(*pair);
    }
    if (files.empty() || files.size() > 2 || (files.size() == 2 && std::ranges::any_of(files, is_url)))
        return misuse(args, "Give one file, folder or URL, or a metadata file and a root file system");
    request.is_public = args.flag("public");
    request.metadata_path = files[0];
    if (files.size() == 2) request.rootfs_path = files[1];
    const bool is_folder =
        files.size() == 1 && ::stat(files[0].c_str(), &status) == 0 && S_ISDIR(status.st_mode);
    LX_TRY_AS(const std::string fingerprint, is_url(files[0]) ? import_url(client, files[0], request)
                                             : is_folder      ? import_folder(client, files[0], request)
                                                              : import_image(client, request));
    LX_TRY(add_aliases(client, args, fingerprint));
    return 0;
}

Result<int> run_image_export(Client& client, const Args& args) {
    const std::string& name = args.text("IMAGE");
    LX_TRY_AS(const std::string fingerprint, find_image(client, name));
    auto files = export_image(client, fingerprint, args.text("TARGET"));
    if (!files)
        return std::unexpected(in(fmt::format("Exporting image '{}'", name), std::move(files).error()));
    for (const auto& file : *files) tell("Exported " + file);
    return 0;
}

Result<int> run_image_edit(Client& client, const Args& args) {
    LX_TRY_AS(const std::string fingerprint, find_image(client, args.text("IMAGE")));
    LX_TRY(edit_object(client, image_object(args.text("IMAGE"), fingerprint)));
    return 0;
}

Result<int> run_build(Client& client, const Args& args) {
    const std::string& name = args.text("DISTRIBUTION/RELEASE");
    const auto distro = parse_distro(name);
    if (!distro) return misuse(args, distro.error().message);
    const BuildOptions options{.mirror = args.text("mirror"),
                               .init = args.text("init"),
                               .packages = args.list("package"),
                               .keyring = args.text("keyring"),
                               .components = args.list("component"),
                               .is_unsigned = args.given("unsigned")};
    if (args.given("output")) {
        LX_TRY(build_image_files(*distro, options, args.text("output")));
        tell(fmt::format("Image files of {} are in {}", name, args.text("output")));
        return 0;
    }
    LX_TRY_AS(const std::string fingerprint,
              build_and_import(client, *distro, options, args.given("alias") ? args.text("alias") : name));
    tell(fmt::format("Image '{}' is ready (fingerprint {})", args.given("alias") ? args.text("alias") : name,
                     fingerprint.substr(0, kShortFingerprint)));
    return 0;
}

Result<int> run_image_delete(Client& client, const Args& args) {
    for (const auto& name : args.list("IMAGE")) {
        LX_TRY_AS(const std::string fingerprint, find_image(client, name));
        auto done =
            client.call("DELETE", api_path({"images", fingerprint}), nullptr, {"Deleting image " + name});
        if (!done)
            return std::unexpected(in(fmt::format("Deleting image '{}'", name), std::move(done).error()));
    }
    return 0;
}

Object alias_object(const std::string& name) {
    return {"image alias", name, api_path({"images", "aliases", name}), "lxmgr image alias list", {}};
}

Result<int> run_alias_list(Client& client, const Args& args) {
    LX_TRY_AS(const Json aliases, client.get("/1.0/images/aliases?recursion=1"));
    Table table{{"ALIAS", "FINGERPRINT", "TYPE", "DESCRIPTION"}, {}};
    for (const auto& alias : aliases) {
        table.rows.push_back({text_member(alias, "name"),
                              text_member(alias, "target").substr(0, kShortFingerprint),
                              text_member(alias, "type"), text_member(alias, "description")});
    }
    print_list(format_of(args.text("format")), table, aliases);
    return 0;
}

Result<int> run_alias_create(Client& client, const Args& args) {
    LX_TRY_AS(const std::string fingerprint, find_image(client, args.text("IMAGE")));
    const Json body = {{"name", args.text("ALIAS")},
                       {"target", fingerprint},
                       {"description", args.text("description")},
                       {"type", ""}};
    auto done = client.call("POST", "/1.0/images/aliases", body);
    if (!done)
        return std::unexpected(
            explain(alias_object(args.text("ALIAS")), "Creating", std::move(done).error()));
    return 0;
}

Result<int> run_alias_delete(Client& client, const Args& args) {
    const Object object = alias_object(args.text("ALIAS"));
    auto done = client.call("DELETE", object.path, nullptr);
    if (!done) return std::unexpected(explain(object, "Deleting", std::move(done).error()));
    return 0;
}

Result<int> run_alias_rename(Client& client, const Args& args) {
    const Object object = alias_object(args.text("ALIAS"));
    auto done = client.call("POST", object.path, Json{{"name", args.text("NEW-NAME")}});
    if (!done) return std::unexpected(explain(object, "Renaming", std::move(done).error()));
    return 0;
}

constexpr Operand kImage[] = {{"IMAGE", Count::one, Kind::image}};
constexpr Operand kImages[] = {{"IMAGE", Count::some, Kind::image}};
constexpr Operand kExported[] = {{"IMAGE", Count::one, Kind::image}, {"TARGET", Count::optional, Kind::file}};
constexpr Operand kFilter[] = {{"FILTER", Count::optional, Kind::image}};
constexpr Operand kFiles[] = {{"FILE", Count::some, Kind::file}};
constexpr Operand kDistro[] = {{"DISTRIBUTION/RELEASE"}};
constexpr Operand kAlias[] = {{"ALIAS", Count::one, Kind::image}};
constexpr Operand kAliasCreate[] = {{"ALIAS"}, {"IMAGE", Count::one, Kind::image}};
constexpr Operand kAliasRename[] = {{"ALIAS", Count::one, Kind::image}, {"NEW-NAME"}};
constexpr Option kImageListOptions[] = {kFormatOption};
constexpr Option kImageImportOptions[] = {
    {"--alias", "NAME", "another name for the image (may be repeated)", true},
    {"--public", "", "let clients that are not trusted have it"},
};
constexpr Option kBuildOptions[] = {
    {"--alias", "NAME", "name of the image; else DISTRIBUTION/RELEASE"},
    {"--mirror", "URL",
     "where packages come from; else this machine's own apt sources, or the distribution's servers"},
    {"--package", "NAME", "also install this package (may be repeated)", true},
    {"--init", "NAME", "what is PID 1: systemd (default) or, of Debian, sysvinit"},
    {"--keyring", "FILE", "keys that the mirror is signed with; else the distribution's own"},
    {"--component", "NAME", "part of an apt mirror, such as universe (may be repeated)", true},
    {"--unsigned", "", "take packages that nobody signed"},
    {"--output", "DIR", "leave the files there and import nothing"},
};
constexpr Option kAliasOptions[] = {{"--description", "TEXT", "what it is for"}};
const Command kImageCommands[] = {
    {"image list", "List images", kFilter, kImageListOptions,
     "A server's images: image list images:, image list images:debian",
     "image list\nimage list debian\nimage list images:debian/13", run_image_list, false, "ls"},
    {"image info", "Show an image for people", kImage, {}, "", "image info debian/12", run_image_info},
    {"image show", "Show an image as YAML", kImage, {}, "", "image show debian/12", run_image_show},
    {"image build", "Make an image of a distribution", kDistro, kBuildOptions,
     "Installs the distribution from a mirror of its packages and imports it. DISTRIBUTION/RELEASE is "
     "debian/11,\n"
     "debian/12, debian/sid or another suite of the mirror, ubuntu/24.04, ubuntu/noble, fedora/42, "
     "fedora/rawhide.\n"
     "Building again replaces what the name stands for. eth0 is set up by netplan or NetworkManager where "
     "--package\n"
     "asks for netplan.io or network-manager; Ubuntu always has netplan, and Fedora NetworkManager.",
     "image build debian/12\nimage build debian/13 --package openssh-server --alias with-ssh\n"
     "image build debian/12 --package network-manager --alias managed\n"
     "image build debian/12 --init sysvinit --alias without-systemd\n"
     "image build ubuntu/24.04 --keyring ubuntu-archive-keyring.gpg\n"
     "image build fedora/42 --mirror https://mirror.example.org/fedora/linux",
     run_build},
    {"image import", "Import an image from files, a folder or a URL", kFiles, kImageImportOptions,
     "One file: a unified image. Two: metadata and root file system. A folder holds metadata.yaml, rootfs "
     "and\n"
     "templates, which are packed, or what 'image build --output' leaves. The daemon fetches an https URL, "
     "which must\n"
     "answer with LXD's headers. KEY=VALUE sets a property.",
     "image import metadata.tar.xz rootfs.squashfs --alias mine\nimage import image.tar.gz description=\"My "
     "image\"\nimage import folder --alias mine\nimage import https://example.org/image --alias mine",
     run_image_import},
    {"image export",
     "Write an image to files",
     kExported,
     {},
     "TARGET is a folder (else this one), or a name to which the files' endings are added: .tar.gz or as "
     "they "
     "are packed.\n"
     "A split image has two files: meta-FINGERPRINT and FINGERPRINT, or NAME and NAME.root. TARGET - is the "
     "standard\n"
     "output, for images of one file.",
     "image export debian/12\nimage export debian/12 /backup\nimage export debian/12 /backup/debian",
     run_image_export},
    {"image edit",
     "Edit an image's properties and settings as YAML",
     kImage,
     {},
     "From stdin when that is no terminal.",
     "image edit debian/12\nimage edit debian/12 < image.yaml",
     run_image_edit},
    {"image delete",
     "Delete images",
     kImages,
     {},
     "Instances that were made from it are not affected.",
     "image delete debian/12",
     run_image_delete,
     false,
     "rm"},
    {"image alias list",
     "List image aliases",
     {},
     kImageListOptions,
     "",
     "image alias list",
     run_alias_list,
     false,
     "ls"},
    {"image alias create", "Give an image another name", kAliasCreate, kAliasOptions, "",
     "image alias create base debian/12", run_alias_create},
    {"image alias delete",
     "Delete an image alias",
     kAlias,
     {},
     "",
     "image alias delete base",
     run_alias_delete,
     false,
     "rm"},
    {"image alias rename",
     "Rename an image alias",
     kAliasRename,
     {},
     "",
     "image alias rename base plain",
     run_alias_rename},
};

}  // namespace

std::span<const Command> image_commands() { return kImageCommands; }

}  // namespace lxmgr::cli
