#include "lxd-daemon/runtime/monitor_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lxd-daemon/base/files.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U  // Linux 6.3, newer than Debian 12's headers
#endif

namespace lxmgr::runtime {
namespace {

UniqueFd make_memory_file() {
    constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    UniqueFd file(::memfd_create("lxmgr-monitor", kFlags | MFD_EXEC));
    if (!file && errno == EINVAL)
        file.reset(::memfd_create("lxmgr-monitor", kFlags));  // always executable before 6.3
    return file;
}

bool fill_and_seal(int file, const std::string& content) {
    for (std::size_t done = 0; done < content.size();) {
        const ssize_t n = ::write(file, content.data() + done, content.size() - done);
        if (n <= 0) return false;
        done += static_cast<std::size_t>(n);
    }
    return ::fcntl(file, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0;
}

}  // namespace

Result<MonitorProgram> MonitorProgram::open(const std::string& file) {
    LX_TRY_AS(const std::string content, read_file(file));
    UniqueFd copy = make_memory_file();
    if (!copy) return MonitorProgram(UniqueFd(), file);
    if (!fill_and_seal(copy.get(), content)) return fail_errno("Copying", file);
    // By our own number, since descriptors are closed in the child before it executes this.
    std::string path = fmt::format("/proc/{}/fd/{}", ::getpid(), copy.get());
    return MonitorProgram(std::move(copy), std::move(path));
}

}  // namespace lxmgr::runtime
