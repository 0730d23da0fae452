#include <algorithm>
#include <optional>

#include "lxd-daemon/base/strings.h"
#include "profiles/vlan.h"

namespace lxmgr::profiles {
namespace {

std::optional<std::uint16_t> parse_vlan(std::string_view text) {
    const auto number = parse_uint(text);
    if (!number || *number < 1 || *number > 4094) return std::nullopt;
    return static_cast<std::uint16_t>(*number);
}

std::optional<VlanRange> parse_vlan_range(std::string_view text) {
    const auto dash = text.find('-');
    const auto first = parse_vlan(text.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_vlan(text.substr(dash + 1));
    if (!first || !last || *last < *first) return std::nullopt;
    return VlanRange{*first, *last};
}

}  // namespace

Result<std::vector<VlanRange>> parse_vlans(std::string_view text) {
    std::vector<VlanRange> out;
    for (const auto& part : split(std::string(text), ',')) {
        const auto range = parse_vlan_range(trim(part));
        const auto meets = [&range](const VlanRange& other) {
            return range && range->first <= other.last && other.first <= range->last;
        };
        if (!range || std::ranges::any_of(out, meets))
            return fail(Status::bad_request,
                        "must be VLAN ids from 1 to 4094, or ranges of them, each once: 10,20-29");
        out.push_back(*range);
    }
    return out;
}

namespace check {

Result<> vlan(std::string_view, std::string_view value) {
    if (parse_vlan(value)) return {};
    return fail(Status::bad_request, "must be a VLAN id from 1 to 4094");
}

Result<> vlan_or_none(std::string_view key, std::string_view value) {
    if (value == "none" || vlan(key, value)) return {};
    return fail(Status::bad_request, "must be a VLAN id from 1 to 4094, or none");
}

Result<> vlan_list(std::string_view, std::string_view value) {
    LX_TRY(parse_vlans(value));
    return {};
}

}  // namespace check
}  // namespace lxmgr::profiles
