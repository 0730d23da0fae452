#include "lxd-daemon/monitor/mount_rules.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>

namespace lxmgr::monitor {

bool find_mount_rule(int run_dir, const char* type, MountRule& rule) {
    char text[8192];
    const int fd = ::openat(run_dir, kMountRules, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    const ssize_t size = fd < 0 ? -1 : ::read(fd, text, sizeof text - 1);
    ::close(fd);
    if (size <= 0) return false;
    text[size] = 0;
    bool found = false;
    for (char *lines = nullptr, *line = ::strtok_r(text, "\n", &lines); line != nullptr;
         line = ::strtok_r(nullptr, "\n", &lines)) {
        char* words = nullptr;
        const char* const word = ::strtok_r(line, " ", &words);
        if (word == nullptr) continue;
        if (std::strcmp(word, "shift") == 0) rule.shift = true;
        const char* const name = ::strtok_r(nullptr, " ", &words);
        if (name == nullptr || std::strcmp(name, type) != 0) continue;
        found = true;
        const char* const program = ::strtok_r(nullptr, " ", &words);
        if (program != nullptr) std::strncpy(rule.program, program, sizeof rule.program - 1);
    }
    return found;
}

}  // namespace lxmgr::monitor
