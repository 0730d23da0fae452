#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "lxd-daemon/base/strings.h"
#include "profiles/snapshot_keys.h"

namespace lxmgr::profiles {
namespace {

tm local_time(Time time) {
    const std::time_t seconds = std::chrono::system_clock::to_time_t(
        std::chrono::time_point_cast<std::chrono::system_clock::duration>(time));
    tm out{};
    ::localtime_r(&seconds, &out);
    return out;
}

/// Go's layout elements (pkg.go.dev/time) and what strftime(3) calls them, longest first.
struct Element {
    std::string_view go, strftime;
};
constexpr std::array<Element, 19> kElements{{{"January", "%B"},
                                             {"Monday", "%A"},
                                             {"2006", "%Y"},
                                             {"Jan", "%b"},
                                             {"Mon", "%a"},
                                             {"MST", "%Z"},
                                             {"01", "%m"},
                                             {"02", "%d"},
                                             {"03", "%I"},
                                             {"04", "%M"},
                                             {"05", "%S"},
                                             {"06", "%y"},
                                             {"15", "%H"},
                                             {"PM", "%p"},
                                             {"1", "%-m"},
                                             {"2", "%-d"},
                                             {"3", "%-I"},
                                             {"4", "%-M"},
                                             {"5", "%-S"}}};

std::string format_date(std::string_view layout, Time time) {
    std::string format;
    while (!layout.empty()) {
        const auto element = std::ranges::find_if(
            kElements, [&](const Element& known) { return layout.starts_with(known.go); });
        if (element != kElements.end()) {
            format += element->strftime;
            layout.remove_prefix(element->go.size());
        } else {
            format += layout.front() == '%' ? "%%" : std::string(1, layout.front());
            layout.remove_prefix(1);
        }
    }
    const tm when = local_time(time);
    std::string out(256, '\0');
    out.resize(std::strftime(out.data(), out.size(), format.c_str(), &when));
    return out;
}

/// The content of a pair of braces: creation_date|date:'LAYOUT'.
Result<std::string> expand_expression(std::string_view text, Time created) {
    const auto refuse = [&] {
        return fail(
            Status::bad_request,
            fmt::format("'{{{{{}}}}}' is not understood: only {{{{ creation_date|date:'LAYOUT' }}}} is",
                        text));
    };
    std::string packed(trim(text));
    constexpr std::string_view kName = "creation_date";
    if (!packed.starts_with(kName)) return refuse();
    packed = std::string(trim(packed.substr(kName.size())));
    if (!packed.starts_with('|')) return refuse();
    packed = std::string(trim(packed.substr(1)));
    if (!packed.starts_with("date:")) return refuse();
    packed = packed.substr(5);
    const bool quoted = packed.size() > 2 && (packed.front() == '\'' || packed.front() == '"') &&
                        packed.find(packed.front(), 1) == packed.size() - 1;
    if (!quoted) return refuse();
    return format_date(std::string_view(packed).substr(1, packed.size() - 2), created);
}

/// One more than the highest number among names of the form PREFIX<number>SUFFIX; 0 when there is none.
std::int64_t next_number(std::string_view prefix, std::string_view suffix,
                         const std::vector<std::string>& taken) {
    std::int64_t next = 0;
    for (const std::string_view name : taken) {
        if (name.size() <= prefix.size() + suffix.size() || !name.starts_with(prefix) ||
            !name.ends_with(suffix))
            continue;
        const auto digits = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
        if (const auto number = parse_uint(std::string(digits)); number && *number < 1'000'000'000)
            next = std::max(next, static_cast<std::int64_t>(*number) + 1);
    }
    return next;
}

}  // namespace

Result<std::string> expand_snapshot_pattern(std::string_view pattern, Time created) {
    std::string out;
    while (true) {
        const auto open = pattern.find("{{");
        out += pattern.substr(0, open);
        if (open == std::string_view::npos) break;
        const auto close = pattern.find("}}", open);
        if (close == std::string_view::npos) return fail(Status::bad_request, "A '{{' has no '}}'");
        LX_TRY_AS(const std::string text,
                  expand_expression(pattern.substr(open + 2, close - open - 2), created));
        out += text;
        pattern.remove_prefix(close + 2);
    }
    if (out.find("{%") != std::string::npos)
        return fail(Status::bad_request, "'{%' is not understood: only {{ creation_date|date:'LAYOUT' }} is");
    if (out.find("%d") != out.rfind("%d")) return fail(Status::bad_request, "It may hold '%d' only once");
    if (out.empty() || out.size() > 200 || out.find_first_of("/ ") != std::string::npos ||
        has_control_chars(out))
        return fail(Status::bad_request,
                    fmt::format("It makes the name '{}', which must be 1 to 200 bytes without "
                                "slashes, spaces and control characters",
                                out));
    return out;
}

std::string snapshot_name(std::string_view pattern, Time created, const std::vector<std::string>& taken) {
    std::string name = expand_snapshot_pattern(pattern, created).value_or("snap%d");
    auto at = name.find("%d");
    if (at == std::string::npos) {
        if (std::ranges::find(taken, name) == taken.end()) return name;
        at = name.size() + 1;
        name += "-%d";
    }
    const std::string prefix = name.substr(0, at), suffix = name.substr(at + 2);
    return fmt::format("{}{}{}", prefix, next_number(prefix, suffix, taken), suffix);
}

Result<Time> expiry_after(std::string_view text, Time from) {
    const auto refuse = [&] {
        return fail(
            Status::bad_request,
            fmt::format("'{}' is no time span: give numbers with M (minutes), H, d, w, m (months) or y, such "
                        "as '3d 12H'",
                        text));
    };
    constexpr std::string_view kUnits = "MHdwmy";
    std::array<int, 6> amounts{};
    std::array<bool, 6> seen{};
    for (const auto& word : split(std::string(trim(text)), ' ')) {
        if (word.empty()) continue;
        const auto unit = kUnits.find(word.back());
        const auto number = parse_uint(word.substr(0, word.size() - 1));
        if (unit == std::string_view::npos || !number || *number > 100'000 || seen.at(unit)) return refuse();
        seen.at(unit) = true;
        amounts.at(unit) = static_cast<int>(*number);
    }
    if (std::ranges::none_of(seen, [](bool given) { return given; })) return refuse();
    if (amounts[4] > 1200 || amounts[5] > 100) return refuse();
    tm when = local_time(from);
    when.tm_year += amounts[5];
    when.tm_mon += amounts[4];
    when.tm_mday += amounts[2] + 7 * amounts[3];
    when.tm_isdst = -1;
    const std::time_t day = ::mktime(&when);
    if (day == -1) return refuse();
    return Time(std::chrono::seconds(day)) + std::chrono::minutes(amounts[0]) +
           std::chrono::hours(amounts[1]);
}

Result<Time> snapshot_expiry(const api::ConfigMap& config, SnapshotOrigin origin, Time created) {
    const bool by_hand = origin == SnapshotOrigin::hand;
    const std::string manual = by_hand ? api::value_of(config, "snapshots.expiry.manual") : std::string();
    const std::string text = manual.empty() ? api::value_of(config, "snapshots.expiry") : manual;
    if (text.empty()) return Time{};
    return expiry_after(text, created);
}

}  // namespace lxmgr::profiles
