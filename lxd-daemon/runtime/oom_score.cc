#include "lxd-daemon/runtime/oom_score.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>
#include <vector>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/sys/pidfd.h"

namespace lxmgr::runtime {
namespace {

constexpr const char* kKey = "limits.memory.oom_priority";
constexpr int kMaxPasses = 16;
constexpr std::size_t kAtOnce = 256;

UniqueFd open_score(pid_t pid) {
    return UniqueFd(::open(fmt::format("/proc/{}/oom_score_adj", pid).c_str(), O_RDWR | O_CLOEXEC));
}

std::optional<std::int64_t> read_score(int fd) {
    char text[32];
    const ssize_t size = ::pread(fd, text, sizeof text, 0);
    if (size <= 0) return std::nullopt;
    return parse_int(trim(std::string_view(text, static_cast<std::size_t>(size))));
}

/// A process that has ended needs none.
Result<> write_score(int fd, int score) {
    const std::string text = std::to_string(score);
    if (::pwrite(fd, text.data(), text.size(), 0) >= 0 || errno == ESRCH) return {};
    if (errno == EACCES || errno == EPERM)
        return fail(Status::bad_request, fmt::format("{} '{}': the daemon may not lower this on this host "
                                                     "(it lacks CAP_SYS_RESOURCE)",
                                                     kKey, score));
    return fail_errno("Setting", kKey);
}

struct Change {
    const sys::Cgroups& cgroups;
    const std::string& name;
    int before, after;
    std::set<pid_t> seen{};

    /// What is opened between two looks at the group, and in it at both, is the group's or has ended.
    Result<> apply(const std::vector<pid_t>& pids) {
        std::vector<std::pair<pid_t, UniqueFd>> opened;
        for (const pid_t pid : pids)
            if (UniqueFd fd = open_score(pid)) opened.emplace_back(pid, std::move(fd));
        LX_TRY_AS(const std::vector<pid_t> still, cgroups.processes(name));
        for (const auto& [pid, fd] : opened) {
            if (std::ranges::find(still, pid) == still.end() || read_score(fd.get()) != before) continue;
            LX_TRY(write_score(fd.get(), after));
        }
        return {};
    }
    /// A child forked before its parent had the new value shows in the next pass.
    Result<> run() {
        for (int pass = 0; pass < kMaxPasses; ++pass) {
            LX_TRY_AS(std::vector<pid_t> pids, cgroups.processes(name));
            std::erase_if(pids, [this](pid_t pid) { return !seen.insert(pid).second; });
            if (pids.empty()) return {};
            for (std::size_t at = 0; at < pids.size(); at += kAtOnce) {
                const auto first = pids.begin() + static_cast<std::ptrdiff_t>(at);
                const auto count = std::min(kAtOnce, pids.size() - at);
                LX_TRY(apply({first, first + static_cast<std::ptrdiff_t>(count)}));
            }
        }
        return {};
    }
};

}  // namespace

Result<> set_oom_score(pid_t init, int pidfd, int score) {
    const UniqueFd fd = open_score(init);
    if (!fd) return fail_errno("Opening", "oom_score_adj of a container's init");
    if (sys::has_ended(pidfd)) return {};  // and the number may be another's
    return write_score(fd.get(), score);
}

Result<> change_oom_score(const sys::Cgroups& cgroups, const std::string& name, int before, int after) {
    if (before == after) return {};
    auto changed = Change{cgroups, name, before, after}.run();
    if (!changed) (void)Change{cgroups, name, after, before}.run().has_value();
    return changed;
}

}  // namespace lxmgr::runtime
