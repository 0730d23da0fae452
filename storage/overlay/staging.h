#pragma once
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::storage {

/// A thread in a mount namespace of its own that holds nothing but a small tmpfs, for kernels that mount an
/// overlay only on layers that are attached somewhere (before Linux 6.15). The host never sees what is
/// attached there, and the namespace keeps none of the host's mounts busy. The thread starts when it is first
/// needed. Thread-safe.
class Staging {
public:
    static constexpr const char* kLower = "/lower";  ///< empty directories in the thread's root
    static constexpr const char* kVolume = "/volume";

    using Work = std::function<Result<UniqueFd>()>;
    Staging() = default;
    ~Staging();
    /// Runs the work on the thread, one at a time, and waits for it. Errors: the work's own, or `internal`
    /// when the namespace cannot be made.
    Result<UniqueFd> run(const Work& work);

private:
    void serve();

    std::mutex callers_;  ///< held by the one whose work runs
    std::mutex mutex_;
    std::condition_variable changed_;
    const Work* work_ = nullptr;
    std::optional<Result<UniqueFd>> result_;
    bool ending_ = false;
    std::thread thread_;
};

}  // namespace lxmgr::storage
