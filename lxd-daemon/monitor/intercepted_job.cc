#include "lxd-daemon/monitor/intercepted_job.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "lxd-daemon/monitor/intercepted.h"

namespace lxmgr::monitor {

void Job::pass_on() const {
    seccomp_notif_resp answer{};
    answer.id = call.id;
    answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    ::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

bool Job::is_valid() const { return ::ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &call.id) == 0; }

void Job::answer(std::int64_t value) const { respond(listener, call.id, value); }

int open_of(pid_t pid, const char* entry, int flags) {
    char path[64];
    ::snprintf(path, sizeof path, "/proc/%d/%s", static_cast<int>(pid), entry);
    return ::open(path, flags | O_CLOEXEC);
}

bool take_number(const char*& at, unsigned base, unsigned long long& value) {
    while (*at == ' ' || *at == '\t') ++at;
    bool any = false;
    for (value = 0;; ++at, any = true) {
        const char lower = static_cast<char>(*at | 0x20);
        unsigned digit = base;
        if (*at >= '0' && *at <= '9') digit = static_cast<unsigned>(*at - '0');
        if (lower >= 'a' && lower <= 'f') digit = static_cast<unsigned>(lower - 'a') + 10;
        if (digit >= base) return any;
        value = value * base + digit;
    }
}

bool number_at(const char* at, unsigned skip, unsigned base, unsigned long long& value) {
    for (unsigned i = 0; i <= skip; ++i)
        if (!take_number(at, base, value)) return false;
    return true;
}

const char* line_of(const char* text, const char* name) {
    const char* found = std::strstr(text, name);
    return found == nullptr ? "" : found + std::strlen(name);
}

bool read_caller(pid_t pid, Caller& caller) {
    char text[8192];
    const int fd = open_of(pid, "status", O_RDONLY);
    if (fd < 0) return false;
    const ssize_t size = ::read(fd, text, sizeof text - 1);
    ::close(fd);
    // Cut off where it has more groups than we can take over.
    if (size <= 0 || size == static_cast<ssize_t>(sizeof text) - 1) return false;
    text[size] = 0;
    unsigned long long uid = 0, gid = 0, mask = 0, group = 0;
    constexpr unsigned kOfFiles = 3;  // after the real, effective and saved ones, proc(5)
    const bool known = number_at(line_of(text, "\nUid:"), kOfFiles, 10, uid) &&
                       number_at(line_of(text, "\nGid:"), kOfFiles, 10, gid) &&
                       number_at(line_of(text, "\nCapEff:"), 0, 16, caller.capabilities) &&
                       number_at(line_of(text, "\nUmask:"), 0, 8, mask);
    caller.uid = static_cast<unsigned>(uid);
    caller.gid = static_cast<unsigned>(gid);
    caller.mask = static_cast<unsigned>(mask);
    caller.group_count = 0;
    for (const char* at = line_of(text, "\nGroups:"); take_number(at, 10, group);) {
        if (caller.group_count == kMaxGroups) return false;
        caller.groups[caller.group_count++] = static_cast<unsigned>(group);
    }
    return known;
}

bool shares_namespace(pid_t pid, pid_t init, const char* kind) {
    char path[64];
    struct stat its{}, ours{};
    ::snprintf(path, sizeof path, "/proc/%d/ns/%s", static_cast<int>(pid), kind);
    if (::stat(path, &its) != 0) return false;
    ::snprintf(path, sizeof path, "/proc/%d/ns/%s", static_cast<int>(init), kind);
    return ::stat(path, &ours) == 0 && its.st_ino == ours.st_ino && its.st_dev == ours.st_dev;
}

bool in_namespace_of(pid_t pid, pid_t init) { return shares_namespace(pid, init, "user"); }

bool read_text(int memory, std::uint64_t address, char* out, std::size_t capacity) {
    std::size_t length = 0;
    // Page by page: the next one may not be mapped.
    while (length < capacity) {
        const std::uint64_t at = address + length;
        std::size_t part = 4096 - static_cast<std::size_t>(at % 4096);
        if (part > capacity - length) part = capacity - length;
        const ssize_t got = ::pread(memory, out + length, part, static_cast<off_t>(at));
        if (got <= 0) return false;
        if (std::memchr(out + length, 0, static_cast<std::size_t>(got)) != nullptr) return true;
        length += static_cast<std::size_t>(got);
    }
    return false;
}

bool open_handles(pid_t pid, int directory, Handles& handles) {
    char entry[32] = "cwd";
    if (directory != AT_FDCWD) ::snprintf(entry, sizeof entry, "fd/%d", directory);
    handles.memory = open_of(pid, "mem", O_RDWR);
    handles.root = open_of(pid, "root", O_PATH | O_DIRECTORY);
    handles.base = open_of(pid, entry, O_PATH | O_DIRECTORY);
    return handles.memory >= 0 && handles.root >= 0 && handles.base >= 0;
}

bool may_call(Job& job, unsigned capability) {
    return read_caller(job.pid(), job.caller) && in_namespace_of(job.pid(), job.init) &&
           (job.caller.capabilities >> capability & 1) != 0;
}

bool prepare(Job& job, int directory, std::uint64_t address, unsigned capability) {
    // The right first: what lies behind a user's address may be a file system that never answers.
    const bool known = may_call(job, capability) && open_handles(job.pid(), directory, job.handles) &&
                       read_text(job.handles.memory, address, job.path, kPath);
    if (known && job.is_valid()) return true;
    job.pass_on();
    return false;
}

void respond(int listener, std::uint64_t id, std::int64_t value) {
    seccomp_notif_resp answer{};
    answer.id = id;
    if (value < 0) {
        answer.error = static_cast<std::int32_t>(value);
    } else {
        answer.val = value;
    }
    ::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

}  // namespace lxmgr::monitor
