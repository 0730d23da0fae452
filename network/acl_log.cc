#include "network/acl_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <chrono>

#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::network {
namespace {

constexpr std::size_t kMaxLogBytes = 1 << 20;

/// Seconds since 1970 at which the kernel's clock began.
std::int64_t boot_us() {
    timespec since{};
    ::clock_gettime(CLOCK_MONOTONIC, &since);
    const auto now_us =
        std::chrono::duration_cast<std::chrono::microseconds>(now().time_since_epoch()).count();
    return now_us - (static_cast<std::int64_t>(since.tv_sec) * 1'000'000 + since.tv_nsec / 1000);
}

std::string format_time(std::int64_t at_us) {
    const auto seconds = static_cast<time_t>(at_us / 1'000'000);
    tm parts{};
    ::gmtime_r(&seconds, &parts);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                       parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, at_us % 1'000'000);
}

}  // namespace

Result<std::string> read_acl_log(const std::string& acl) {
    const UniqueFd fd(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    if (!fd) return fail_errno("Opening", "/dev/kmsg");
    const std::string mark = fmt::format("lxmgr-acl={} ", acl);
    const std::int64_t boot = boot_us();
    std::string out;
    std::array<char, 8192> buffer;
    while (true) {
        const ssize_t size = ::read(fd.get(), buffer.data(), buffer.size());
        if (size < 0 && (errno == EPIPE || errno == EINTR)) continue;  // EPIPE: older ones were overwritten
        if (size <= 0) return out;
        // "PRIORITY,NUMBER,MICROSECONDS,FLAGS;TEXT\n", and lines with a blank in front.
        const std::string_view record(buffer.data(), static_cast<std::size_t>(size));
        const std::string_view line = record.substr(0, record.find('\n'));
        const auto semicolon = line.find(';');
        if (semicolon == std::string_view::npos || !line.substr(semicolon + 1).starts_with(mark)) continue;
        const auto fields = split(line.substr(0, semicolon), ',');
        const auto at = fields.size() > 2 ? parse_int(fields[2]) : std::nullopt;
        out += fmt::format("{} {}\n", format_time(boot + at.value_or(0)),
                           trim(line.substr(semicolon + 1 + mark.size())));
        if (out.size() > kMaxLogBytes) out.erase(0, out.find('\n', out.size() - kMaxLogBytes) + 1);
    }
}

}  // namespace lxmgr::network
