#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "lxd-daemon/monitor/loop.h"
#include "lxd-daemon/monitor/message_io.h"
#include "lxd-daemon/monitor/start.h"
#include "lxd-daemon/monitor/state.h"

/// lxmgr-monitor: parent of one container's init, see runtime/container.h and docs/architecture.md. The
/// daemon starts it with a SEQPACKET socket as descriptor 3 and /dev/null as 0, 1 and 2.
namespace lxmgr::monitor {

State state;
alignas(4096) char message_buffer[wire::kMaxMessage];

void release_message_buffer(long used) {
    if (used > 64 * 1024) ::madvise(message_buffer, sizeof message_buffer, MADV_DONTNEED);
}

std::uint64_t now_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1000000000U + static_cast<std::uint64_t>(now.tv_nsec);
}

void send_time(int socket, wire::Type type, std::uint64_t time_ns) {
    char buffer[sizeof(wire::Header) + sizeof time_ns];
    wire::Writer writer(buffer, sizeof buffer, type);
    writer.u64(time_ns);
    wire::send_message(socket, writer, nullptr, 0, MSG_DONTWAIT);
}

namespace {

/// Gives back the pages of program code that only the start needed: what the loop uses comes back by itself,
/// some 64 KiB at a time. Of 500 KiB, most is C library that runs once.
void release_program_pages() {
    extern const char start[] asm("__executable_start");
    extern const char end[] asm("__etext");
    const auto page = [](const char* at) {
        return reinterpret_cast<std::uintptr_t>(at) & ~std::uintptr_t{4095};
    };
    ::madvise(reinterpret_cast<void*>(page(start)), page(end) - page(start), MADV_DONTNEED);
}

}  // namespace
}  // namespace lxmgr::monitor

int main(int argc, char** argv) {
    using lxmgr::monitor::state;
    // What we fork enters the guest's namespaces: its root must never trace it or reach our program file
    // (CVE-2019-5736).
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    state.control = ::fcntl(3, F_DUPFD_CLOEXEC, 4);
    ::close(3);
    if (state.control < 0 || argc != 2) return 2;
    state.shown_name = argv[1];
    lxmgr::monitor::start_container();
    lxmgr::monitor::release_message_buffer(static_cast<long>(sizeof lxmgr::monitor::message_buffer));
    lxmgr::monitor::release_program_pages();
    lxmgr::monitor::run_loop();
}
