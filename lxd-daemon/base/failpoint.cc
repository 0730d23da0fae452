#include "lxd-daemon/base/failpoint.h"

#ifdef LXMGR_FAILPOINTS
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lxd-daemon/base/strings.h"

namespace lxmgr {
namespace {

struct Armed {
    std::string name;
    std::uint64_t at = 1;
    bool error = false;
    std::string pause;  ///< the FIFO
};

const Armed& armed() {
    static const Armed value = [] {
        Armed out;
        const char* env = std::getenv("LXMGR_FAILPOINT");
        if (env == nullptr) return out;
        std::string_view text = env;
        if (const auto colon = text.rfind(":error"); colon != std::string_view::npos) {
            out.error = true;
            text = text.substr(0, colon);
        }
        constexpr std::string_view kPause = ":pause=";
        if (const auto colon = text.find(kPause); colon != std::string_view::npos) {
            out.pause = text.substr(colon + kPause.size());
            text = text.substr(0, colon);
        }
        if (const auto equals = text.find('='); equals != std::string_view::npos) {
            out.at = parse_uint(text.substr(equals + 1)).value_or(1);
            text = text.substr(0, equals);
        }
        out.name = text;
        return out;
    }();
    return value;
}

/// Whether points count yet.
bool begun() {
    static const char* const file = std::getenv("LXMGR_FAILPOINT_FROM");
    static std::atomic<bool> seen{file == nullptr};
    if (!seen && ::access(file, F_OK) == 0) seen = true;
    return seen;
}

void record(const char* name) {
    static const char* const file = std::getenv("LXMGR_FAILPOINT_LOG");
    if (file == nullptr) return;
    const int fd = ::open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return;
    const std::string line = std::string(name) + "\n";
    [[maybe_unused]] const auto n = ::write(fd, line.data(), line.size());
    ::close(fd);
}

void wait_at(const std::string& fifo) {
    const int reached = ::open(fifo.c_str(), O_WRONLY | O_CLOEXEC);
    if (reached >= 0) ::close(reached);
    const int go_on = ::open(fifo.c_str(), O_RDONLY | O_CLOEXEC);
    if (go_on < 0) return;
    char byte = 0;
    while (::read(go_on, &byte, 1) > 0) {
    }
    ::close(go_on);
}

}  // namespace

void failpoint(const char* name) {
    if (!begun()) return;
    record(name);
    static std::atomic<std::uint64_t> hits{0};
    if (armed().error || armed().name != name) return;
    if (++hits != armed().at) return;
    if (armed().pause.empty()) ::kill(::getpid(), SIGKILL);
    wait_at(armed().pause);
}

bool failpoint_fails(const char* name) {
    failpoint(name);  // a point that can fail is one to die at, too
    return armed().error && armed().name == name;
}

}  // namespace lxmgr
#endif
