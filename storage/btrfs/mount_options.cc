#include "storage/btrfs/mount_options.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::storage {
namespace {

struct Opposite {
    std::string_view name, opposite;
};
/// btrfs(5): each option with a value goes back to its default.
constexpr std::array kOpposites = {
    Opposite{"autodefrag", "noautodefrag"},    Opposite{"commit", "commit=30"},
    Opposite{"compress", "compress=no"},       Opposite{"compress-force", "compress=no"},
    Opposite{"discard", "nodiscard"},          Opposite{"flushoncommit", "noflushoncommit"},
    Opposite{"max_inline", "max_inline=2048"}, Opposite{"noacl", "acl"},
    Opposite{"nobarrier", "barrier"},          Opposite{"nodatacow", "datacow,datasum"},
    Opposite{"nodatasum", "datasum"},          Opposite{"nossd", "ssd"},
    Opposite{"notreelog", "treelog"},          Opposite{"ssd", "nossd"},
    Opposite{"ssd_spread", "nossd_spread"},
};

std::string name_of(const std::string& option) { return option.substr(0, option.find('=')); }

}  // namespace

std::string remount_options(const std::string& before, const std::string& after) {
    const auto wanted = split(after, ',');
    std::string out;
    for (const auto& option : split(before, ',')) {
        const std::string name = name_of(option);
        const bool stays = std::ranges::find(wanted, name, name_of) != wanted.end();
        const auto* known = std::ranges::find(kOpposites, name, &Opposite::name);
        if (!stays && known != kOpposites.end()) out += std::string(known->opposite) + ",";
    }
    return out + after;
}

}  // namespace lxmgr::storage
