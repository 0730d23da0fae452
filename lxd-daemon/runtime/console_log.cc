#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>

#include "lxd-daemon/monitor/ring.h"
#include "lxd-daemon/runtime/container.h"

namespace lxmgr::runtime {
namespace {

Result<wire::RingHeader> read_header(int fd, const std::string& path) {
    wire::RingHeader header{};
    const ssize_t n = ::pread(fd, &header, sizeof header, 0);
    if (n < 0) return fail_errno("Reading", path);
    if (n != sizeof header || header.magic != wire::kRingMagic) {
        return fail(Status::internal, "The console log " + path + " is damaged");
    }
    return header;
}

Result<UniqueFd> open_log(const std::string& path, int flags) {
    UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW));
    if (fd) return fd;
    const bool absent = errno == ENOENT;
    auto error = fail_errno("Opening", path);
    if (absent) error.error().status = Status::not_found;
    return error;
}

/// Oldest byte that is still there.
std::uint64_t first_byte(const wire::RingHeader& header) {
    return std::max(header.cleared, header.total > wire::kRingBytes ? header.total - wire::kRingBytes : 0);
}

}  // namespace

Result<std::string> read_console_log(const std::string& console_log) {
    LX_TRY_AS(const UniqueFd fd, open_log(console_log, O_RDONLY));
    LX_TRY_AS(const wire::RingHeader before, read_header(fd.get(), console_log));
    const std::uint64_t first = first_byte(before);
    if (first >= before.total) return std::string();
    std::string text(before.total - first, '\0');
    for (std::size_t done = 0; done < text.size();) {
        const std::uint64_t at = (first + done) % wire::kRingBytes;
        const std::size_t part = std::min<std::size_t>(text.size() - done, wire::kRingBytes - at);
        const ssize_t n =
            ::pread(fd.get(), text.data() + done, part, static_cast<off_t>(wire::kRingData + at));
        if (n < 0) return fail_errno("Reading", console_log);
        if (n == 0) break;  // the disk was full when this was to be written
        done += static_cast<std::size_t>(n);
    }
    // What the guest wrote meanwhile has overwritten the oldest bytes under our hands.
    LX_TRY_AS(const wire::RingHeader after, read_header(fd.get(), console_log));
    const std::uint64_t still_there = first_byte(after);
    if (still_there > first) text.erase(0, std::min<std::uint64_t>(still_there - first, text.size()));
    return text;
}

Result<> clear_console_log(const std::string& console_log) {
    LX_TRY_AS(const UniqueFd fd, open_log(console_log, O_RDWR));
    LX_TRY_AS(const wire::RingHeader header, read_header(fd.get(), console_log));
    if (::pwrite(fd.get(), &header.total, sizeof header.total, offsetof(wire::RingHeader, cleared)) < 0) {
        return fail_errno("Clearing", console_log);
    }
    return {};
}

}  // namespace lxmgr::runtime
