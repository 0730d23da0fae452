#pragma once
#include <mutex>
#include <optional>
#include <string>

namespace lxmgr::instances {

struct Context;

/// Something that the host may lack, as this daemon has told of it.
class HostProblem {
public:
    /// @param warning  its type in the list of warnings; static
    explicit HostProblem(const char* warning) : warning_(warning) {}
    /// Raises the warning and logs it, once for each problem of this daemon's life; no problem resolves the
    /// warning of earlier times.
    void note(const Context& context, const std::optional<std::string>& problem);
    [[nodiscard]] bool is_told();

private:
    const char* warning_;
    std::mutex mutex_;
    std::string told_;
};

}  // namespace lxmgr::instances
