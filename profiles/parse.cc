#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "lxd-daemon/base/strings.h"
#include "profiles/config_keys.h"

namespace lxmgr::profiles {
namespace {

constexpr int kMaxCpus = 8192;  // CONFIG_NR_CPUS of the biggest kernels

struct Unit {
    std::string_view name;
    std::uint64_t bytes;
};
// LXD's byte units; "B" is last because the others end in it.
constexpr std::array<Unit, 16> kUnits{{
    {"KiB", std::uint64_t{1} << 10},
    {"MiB", std::uint64_t{1} << 20},
    {"GiB", std::uint64_t{1} << 30},
    {"TiB", std::uint64_t{1} << 40},
    {"PiB", std::uint64_t{1} << 50},
    {"EiB", std::uint64_t{1} << 60},
    {"kB", 1'000},
    {"KB", 1'000},
    {"MB", 1'000'000},
    {"GB", 1'000'000'000},
    {"TB", 1'000'000'000'000},
    {"PB", 1'000'000'000'000'000},
    {"EB", 1'000'000'000'000'000'000},
    {" bytes", 1},
    {"bytes", 1},
    {"B", 1},
}};

std::unexpected<Error> bad_size(std::string_view text) {
    return fail(Status::bad_request, fmt::format("'{}' is not a size such as 512MiB, 2GB or 50%", text));
}

Result<std::uint64_t> parse_percent(std::string_view text, std::uint64_t total_bytes) {
    const auto percent = parse_uint(text.substr(0, text.size() - 1));
    if (!percent || *percent > 100)
        return fail(Status::bad_request, fmt::format("'{}' is not 0% to 100%", text));
    if (total_bytes == 0)
        return fail(Status::bad_request, fmt::format("'{}': a percentage is not possible here", text));
    return total_bytes / 100 * *percent + total_bytes % 100 * *percent / 100;
}

std::unexpected<Error> bad_cpus(std::string_view text) {
    return fail(Status::bad_request,
                fmt::format("'{}' is neither a number of CPUs (2) nor a set (0-3,7), with at most {} CPUs",
                            text, kMaxCpus));
}

// "3" or "0-3"; false when it is neither.
bool add_range(std::string_view text, std::vector<int>& cpus) {
    const auto dash = text.find('-');
    const auto first = parse_uint(text.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_uint(text.substr(dash + 1));
    if (!first || !last || *first > *last || *last >= kMaxCpus) return false;
    for (auto cpu = *first; cpu <= *last; ++cpu) cpus.push_back(static_cast<int>(cpu));
    return true;
}

std::unexpected<Error> bad_allowance(std::string_view text) {
    return fail(Status::bad_request,
                fmt::format("'{}' is neither a percentage (50%) nor a time quota (25ms/100ms)", text));
}

std::optional<long> parse_milliseconds(std::string_view text) {
    if (!text.ends_with("ms")) return std::nullopt;
    const auto number = parse_uint(text.substr(0, text.size() - 2));
    if (!number || *number == 0 || *number > 1'000'000) return std::nullopt;
    return static_cast<long>(*number * 1000);
}

}  // namespace

bool parse_bool(std::string_view text) {
    const std::string lower = to_lower(text);
    return lower == "true" || lower == "1" || lower == "yes" || lower == "on";
}

Result<std::uint64_t> parse_size(std::string_view text, std::uint64_t total_bytes) {
    if (text.ends_with('%')) return parse_percent(text, total_bytes);
    std::uint64_t factor = 1;
    std::string_view digits = text;
    for (const Unit& unit : kUnits) {
        if (!text.ends_with(unit.name)) continue;
        factor = unit.bytes;
        digits.remove_suffix(unit.name.size());
        break;
    }
    const auto number = parse_uint(digits);
    // LXD keeps sizes as int64.
    constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (!number || *number > kMax / factor) return bad_size(text);
    return *number * factor;
}

Result<DiskRate> parse_disk_rate(std::string_view text) {
    constexpr std::string_view kOperations = "iops";
    DiskRate rate;
    rate.is_operations = text.ends_with(kOperations);
    if (rate.is_operations) {
        text.remove_suffix(kOperations.size());
        const auto number = parse_uint(text);
        // The kernel counts operations in 32 bits.
        if (!number || *number > 4294967295)
            return fail(Status::bad_request, fmt::format("'{}iops' is no rate such as 500iops", text));
        rate.per_second = *number;
    } else {
        LX_TRY_AS(rate.per_second, parse_size(text));
    }
    if (rate.per_second == 0)
        return fail(Status::bad_request, "a rate of 0 would stop the disk: unset the key");
    return rate;
}

Result<std::uint64_t> parse_bit_rate(std::string_view text) {
    // LXD's bit units.
    constexpr std::array<Unit, 13> kBits{{{"Kibit", std::uint64_t{1} << 10},
                                          {"Mibit", std::uint64_t{1} << 20},
                                          {"Gibit", std::uint64_t{1} << 30},
                                          {"Tibit", std::uint64_t{1} << 40},
                                          {"Pibit", std::uint64_t{1} << 50},
                                          {"Eibit", std::uint64_t{1} << 60},
                                          {"kbit", 1'000},
                                          {"Mbit", 1'000'000},
                                          {"Gbit", 1'000'000'000},
                                          {"Tbit", 1'000'000'000'000},
                                          {"Pbit", 1'000'000'000'000'000},
                                          {"Ebit", 1'000'000'000'000'000'000},
                                          {"bit", 1}}};
    std::uint64_t factor = 1;
    std::string_view digits = text;
    for (const Unit& unit : kBits) {
        if (!text.ends_with(unit.name)) continue;
        factor = unit.bytes;
        digits.remove_suffix(unit.name.size());
        break;
    }
    const auto number = parse_uint(digits);
    constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (number && *number > 0 && *number <= kMax / factor) return *number * factor;
    return fail(Status::bad_request,
                fmt::format("'{}' is not a rate such as 500kbit, 10Mbit or 1Gbit", text));
}

Result<CpuLimit> parse_cpu_limit(std::string_view text) {
    CpuLimit out;
    if (const auto count = parse_uint(text)) {
        if (*count == 0 || *count > kMaxCpus) return bad_cpus(text);
        out.count = static_cast<int>(*count);
        return out;
    }
    // A list cannot be longer than this without repeating itself; it bounds the work before any range is
    // expanded.
    if (text.size() > std::size_t{kMaxCpus} * 6) return bad_cpus(text.substr(0, 32));
    for (const auto& part : split(text, ',')) {
        if (!add_range(part, out.pinned)) return bad_cpus(text);
        if (out.pinned.size() > std::size_t{kMaxCpus} * 4) return bad_cpus(text.substr(0, 32));
    }
    std::ranges::sort(out.pinned);
    const auto repeated = std::ranges::unique(out.pinned);
    out.pinned.erase(repeated.begin(), repeated.end());
    return out;
}

Result<std::vector<int>> parse_cpu_set(std::string_view text) {
    if (parse_uint(text)) {
        std::vector<int> one;
        if (!add_range(text, one)) return bad_cpus(text);
        return one;
    }
    LX_TRY_AS(CpuLimit parsed, parse_cpu_limit(text));
    return std::move(parsed.pinned);
}

Result<CpuAllowance> parse_cpu_allowance(std::string_view text) {
    CpuAllowance out;
    if (text.ends_with('%')) {
        const auto percent = parse_uint(text.substr(0, text.size() - 1));
        if (!percent || *percent < 1 || *percent > 100) return bad_allowance(text);
        out.percent = static_cast<int>(*percent);
        return out;
    }
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) return bad_allowance(text);
    const auto quota = parse_milliseconds(trim(text.substr(0, slash)));
    const auto period = parse_milliseconds(trim(text.substr(slash + 1)));
    if (!quota || !period) return bad_allowance(text);
    // The kernel takes periods of 1 ms to 1 s, Documentation/scheduler/sched-bwc.rst.
    if (*period > 1'000'000)
        return fail(Status::bad_request, fmt::format("'{}': a period is 1ms to 1000ms", text));
    out.quota_us = *quota;
    out.period_us = *period;
    return out;
}

}  // namespace lxmgr::profiles
