#include "lxd-daemon/runtime/child/guest_units.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::child {
namespace {

constexpr const char* kUnits = "/run/systemd/system";
// What is left of the trigger is what makes a guest's networkd take its links up.
constexpr char kTrigger[] =
    "[Service]\nExecStart=\nExecStart=-udevadm trigger --type=devices --action=add --subsystem-match=net\n";

bool is_systemd(const char* init) {
    char target[PATH_MAX];
    const ssize_t size = ::readlink(init, target, sizeof target - 1);
    const char* const path = size > 0 ? target : init;
    if (size > 0) target[size] = 0;
    const char* const name = strrchr(path, '/');
    return strcmp(name != nullptr ? name + 1 : path, "systemd") == 0;
}

void write_file_at(int directory, const char* name, const char* text, size_t size) {
    const int fd = ::openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) return;
    (void)!::write(fd, text, size);
    ::close(fd);
}

}  // namespace

void ease_systemd(const char* init) {
    if (!is_systemd(init) || ::mkdir("/run/systemd", 0755) != 0 || ::mkdir(kUnits, 0755) != 0) return;
    const int units = ::open(kUnits, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (units < 0) return;
    ::symlinkat("/dev/null", units, "modprobe@.service");
    ::symlinkat("/dev/null", units, "systemd-modules-load.service");
    // systemd 247 has no look whether it may read the audit log, which only a host's root may.
    ::symlinkat("/dev/null", units, "systemd-journald-audit.socket");
    constexpr const char* kDropIns = "systemd-udev-trigger.service.d";
    ::mkdirat(units, kDropIns, 0755);
    const int drop_ins = ::openat(units, kDropIns, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (drop_ins >= 0) {
        write_file_at(drop_ins, "lxmgr.conf", kTrigger, sizeof kTrigger - 1);
        ::close(drop_ins);
    }
    ::close(units);
}

}  // namespace lxmgr::child
