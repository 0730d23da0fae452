#include "lxmgr/images.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lxd-daemon/base/strings.h"
#include "lxmgr/object.h"

namespace lxmgr::cli {
namespace {

constexpr std::array<std::string_view, 6> kWellKnown{"12", "13", "sid", "bookworm", "trixie", "unstable"};
constexpr std::array<std::string_view, 3> kBuilt{"debian", "ubuntu", "fedora"};

}  // namespace

Result<DistroName> parse_distro(std::string_view name) {
    const auto parts = split(name, '/');
    if (parts.size() != 2 || std::ranges::find(kBuilt, parts[0]) == kBuilt.end()) {
        return fail(Status::bad_request,
                    fmt::format("'{}' cannot be built; names that can are such as debian/12, debian/sid, "
                                "ubuntu/24.04 and fedora/42",
                                name));
    }
    constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyz0123456789.-";
    const std::string& release = parts[1];
    const bool plain = std::ranges::all_of(release, [&](char c) { return kAllowed.contains(c); });
    if (release.empty() || release.front() == '-' || !plain) {
        return fail(Status::bad_request, fmt::format("'{}' is no release of {}", release, parts[0]));
    }
    return DistroName{parts[0], release};
}

bool is_well_known_distro(std::string_view name) {
    const auto distro = parse_distro(name);
    return distro && distro->distribution == "debian" &&
           std::ranges::find(kWellKnown, distro->release) != kWellKnown.end();
}

Result<std::string> find_image(Client& client, const std::string& name) {
    const auto alias = client.get(api_path({"images", "aliases", name}));
    if (alias) return text_member(*alias, "target");
    if (alias.error().status != Status::not_found) return std::unexpected(alias.error());
    const bool hexadecimal = name.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (hexadecimal && !name.empty()) {
        const auto image = client.get(api_path({"images", name}));
        if (image) return text_member(*image, "fingerprint");
        if (image.error().status != Status::not_found) return std::unexpected(image.error());
    }
    if (parse_distro(name)) {
        return fail(Status::not_found,
                    fmt::format("There is no image '{}' here; 'lxmgr image build {}' makes it", name, name));
    }
    if (name.contains(':')) {
        return fail(
            Status::not_found,
            fmt::format("There is no image '{}': images come from this server only; 'lxmgr image list' "
                        "shows them, 'lxmgr image build debian/12' makes one",
                        name));
    }
    return fail(Status::not_found,
                fmt::format("There is no image '{}'; 'lxmgr image list' shows what there is", name));
}

Result<> set_alias(Client& client, const std::string& alias, const std::string& fingerprint,
                   const std::string& description) {
    const std::string path = api_path({"images", "aliases", alias});
    const auto existing = client.get(path);
    if (existing && text_member(*existing, "target") == fingerprint) return {};
    if (existing) {
        LX_TRY(client.call("PUT", path, Json{{"target", fingerprint}, {"description", description}}));
        return {};
    }
    if (existing.error().status != Status::not_found) return std::unexpected(existing.error());
    const Json body = {{"name", alias}, {"target", fingerprint}, {"description", description}, {"type", ""}};
    LX_TRY(client.call("POST", "/1.0/images/aliases", body));
    return {};
}

}  // namespace lxmgr::cli
