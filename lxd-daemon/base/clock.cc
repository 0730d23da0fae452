#include "lxd-daemon/base/clock.h"

#include <fmt/format.h>

#include <ctime>
#include <optional>

#include "lxd-daemon/base/strings.h"

namespace lxmgr {
namespace {

constexpr std::string_view kZero = "0001-01-01T00:00:00Z";

std::unexpected<Error> bad_time(std::string_view text) {
    return fail(Status::bad_request,
                fmt::format("'{}' is not an RFC 3339 time such as 2026-11-21T05:53:00Z", text));
}

/// Nanoseconds of ".123" at the front of `rest`, which it consumes.
std::optional<std::int64_t> take_fraction(std::string_view& rest) {
    if (rest.empty() || rest.front() != '.') return 0;
    rest.remove_prefix(1);
    std::int64_t value = 0;
    std::size_t digits = 0;
    for (; !rest.empty() && rest.front() >= '0' && rest.front() <= '9'; rest.remove_prefix(1), ++digits) {
        if (digits < 9) value = value * 10 + (rest.front() - '0');
    }
    if (digits == 0) return std::nullopt;
    for (; digits < 9; ++digits) value *= 10;
    return value;
}

/// Seconds east of UTC of "Z" or "+hh:mm", which must be all that is left.
std::optional<std::int64_t> parse_offset(std::string_view rest) {
    if (rest == "Z" || rest == "z") return 0;
    if (rest.size() != 6 || (rest[0] != '+' && rest[0] != '-') || rest[3] != ':') return std::nullopt;
    const auto hours = parse_uint(rest.substr(1, 2));
    const auto minutes = parse_uint(rest.substr(4, 2));
    if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
    const auto seconds = static_cast<std::int64_t>(*hours * 3600 + *minutes * 60);
    return rest[0] == '-' ? -seconds : seconds;
}

}  // namespace

Time now() {
    return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
}

std::string to_rfc3339(Time time) {
    if (time == Time{}) return std::string(kZero);
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
    const std::time_t t = seconds.time_since_epoch().count();
    std::tm tm{};
    ::gmtime_r(&t, &tm);
    const std::string base = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", tm.tm_year + 1900,
                                         tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    const auto nanos = (time - seconds).count();
    return nanos == 0 ? base + "Z" : fmt::format("{}.{:09}Z", base, nanos);
}

Result<Time> parse_rfc3339(std::string_view text) {
    if (text == kZero || text.empty()) return Time{};
    if (text.size() < 20 || text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != 't') ||
        text[13] != ':' || text[16] != ':') {
        return bad_time(text);
    }
    std::tm tm{};
    const struct {
        std::size_t at, size;
        int* to;
        std::uint64_t low, high;
    } fields[] = {{0, 4, &tm.tm_year, 1, 9999}, {5, 2, &tm.tm_mon, 1, 12},  {8, 2, &tm.tm_mday, 1, 31},
                  {11, 2, &tm.tm_hour, 0, 23},  {14, 2, &tm.tm_min, 0, 59}, {17, 2, &tm.tm_sec, 0, 60}};
    for (const auto& field : fields) {
        const auto value = parse_uint(text.substr(field.at, field.size));
        if (!value || *value < field.low || *value > field.high) return bad_time(text);
        *field.to = static_cast<int>(*value);
    }
    std::string_view rest = text.substr(19);
    const auto nanos = take_fraction(rest);
    const auto offset = parse_offset(rest);
    if (!nanos || !offset) return bad_time(text);
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    return Time{std::chrono::seconds(::timegm(&tm) - *offset) + std::chrono::nanoseconds(*nanos)};
}

}  // namespace lxmgr
