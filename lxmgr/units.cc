#include "lxmgr/units.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>

#include "lxd-daemon/base/clock.h"

namespace lxmgr::cli {

std::string human_bytes(std::uint64_t bytes) {
    constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
    return unit == 0 ? fmt::format("{}B", bytes) : fmt::format("{:.2f}{}", value, kUnits[unit]);
}

std::string human_time(std::string_view rfc3339) {
    const auto time = parse_rfc3339(rfc3339);
    if (!time || *time == Time{}) return {};
    const auto seconds = std::chrono::time_point_cast<std::chrono::seconds>(*time);
    return fmt::format("{:%Y/%m/%d %H:%M} UTC", fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)));
}

std::string human_seconds(std::uint64_t nanoseconds) {
    const std::uint64_t seconds = nanoseconds / 1'000'000'000;
    const std::uint64_t minutes = seconds / 60;
    if (minutes == 0) return fmt::format("{}s", seconds);
    if (minutes < 60) return fmt::format("{}m {}s", minutes, seconds % 60);
    return fmt::format("{}h {}m {}s", minutes / 60, minutes % 60, seconds % 60);
}

}  // namespace lxmgr::cli
