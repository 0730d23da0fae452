#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <ranges>

#include "images/distros/distro.h"

namespace lxmgr::images {

std::span<const Distro> distros() {
    static const std::array kDistros{kDebian, kUbuntu, kFedora};
    return kDistros;
}

Result<const Distro*> find_distro(std::string_view name) {
    const auto all = distros();
    const auto found = std::ranges::find(all, name, &Distro::name);
    if (found != all.end()) return &*found;
    return fail(Status::bad_request,
                fmt::format("'{}' is no distribution that images can be built of; these are: {}", name,
                            fmt::join(all | std::views::transform(&Distro::name), ", ")));
}

}  // namespace lxmgr::images
