#include "lxmgr/simplestreams_remotes.h"

#include <algorithm>
#include <cstdlib>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::cli {
namespace {

constexpr const char* kVariable = "LXMGR_IMAGE_SERVERS";

}  // namespace

std::vector<StreamsRemote> streams_remotes() {
    std::vector<StreamsRemote> out;
    const char* more = std::getenv(kVariable);
    for (const auto& entry : split(more == nullptr ? "" : more, ',')) {
        const auto equals = entry.find('=');
        if (equals != std::string::npos && equals > 0)
            out.push_back({entry.substr(0, equals), entry.substr(equals + 1)});
    }
    out.push_back({"images", "https://images.linuxcontainers.org"});
    out.push_back({"ubuntu", "https://cloud-images.ubuntu.com/releases"});
    out.push_back({"ubuntu-daily", "https://cloud-images.ubuntu.com/daily"});
    out.push_back({"ubuntu-minimal", "https://cloud-images.ubuntu.com/minimal/releases"});
    return out;
}

std::optional<StreamsImage> streams_image(std::string_view text) {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    const auto remotes = streams_remotes();
    const auto found = std::ranges::find(remotes, text.substr(0, colon), &StreamsRemote::name);
    if (found == remotes.end()) return std::nullopt;
    return StreamsImage{*found, std::string(text.substr(colon + 1))};
}

Json source_of(const StreamsImage& image) {
    return {{"type", "image"},
            {"mode", "pull"},
            {"server", image.remote.url},
            {"protocol", "simplestreams"},
            {"alias", image.name}};
}

}  // namespace lxmgr::cli
