#include "profiles/instance_size.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::profiles {
namespace {

constexpr double kMostOfEither = 1 << 20;
constexpr double kMibPerGib = 1024;

std::unexpected<Error> not_a_size(const std::string& size) {
    return fail(
        Status::bad_request,
        fmt::format(
            "Instance type '{}' is not known: give cN-mM (N CPUs, M GiB of memory), or set limits.cpu and "
            "limits.memory",
            size));
}

std::optional<double> positive(std::string_view text) {
    double value = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    if (error != std::errc() || end != text.data() + text.size() || !(value > 0) || value > kMostOfEither)
        return std::nullopt;
    return value;
}

}  // namespace

Result<api::ConfigMap> limits_of_size(const std::string& size) {
    api::ConfigMap out;
    for (const auto& part : split(size, '-')) {
        const auto value = positive(std::string_view(part).substr(part.empty() ? 0 : 1));
        if (!value) return not_a_size(size);
        if (part.front() == 'c' && !out.contains("limits.cpu")) {
            const auto whole = static_cast<std::int64_t>(*value);
            if (static_cast<double>(whole) != *value) return not_a_size(size);
            out["limits.cpu"] = std::to_string(whole);
        } else if (part.front() == 'm' && !out.contains("limits.memory")) {
            out["limits.memory"] = fmt::format("{}MB", static_cast<std::int64_t>(*value * kMibPerGib));
        } else {
            return not_a_size(size);
        }
    }
    return out;
}

}  // namespace lxmgr::profiles
