#pragma once
#include <string>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::runtime {

/// lxmgr-monitor as a file that nobody can write: a sealed copy in memory, one for all monitors of this
/// daemon. Its processes enter guests, and /proc/PID/exe must not be a way to the host's program
/// (CVE-2019-5736). It also keeps running monitors apart from an upgrade that replaces the file.
class MonitorProgram {
public:
    /// Where the system forbids programs in memory (vm.memfd_noexec=2), the file itself is used.
    static Result<MonitorProgram> open(const std::string& file);
    /// What to execute, as a path.
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    MonitorProgram(UniqueFd copy, std::string path) : copy_(std::move(copy)), path_(std::move(path)) {}
    UniqueFd copy_;
    std::string path_;
};

}  // namespace lxmgr::runtime
