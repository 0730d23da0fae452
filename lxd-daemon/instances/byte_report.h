#pragma once
#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "lxd-daemon/operations/operation.h"

namespace lxmgr::instances {

/// Shows in an operation's metadata how many bytes were written by now, as LXD says it; not too often.
class ByteReport {
public:
    /// @param key     "<what>_progress"
    /// @param prefix  of the text
    ByteReport(operations::Operation& operation, std::string key, std::string prefix)
        : operation_(operation), key_(std::move(key)), prefix_(std::move(prefix)) {}

    void at(std::uint64_t bytes) {
        const auto time = std::chrono::steady_clock::now();
        if (time < shown_at_ + kPause) return;
        shown_at_ = time;
        const double seconds = std::chrono::duration<double>(time - began_).count();
        const double megabytes = static_cast<double>(bytes) / 1e6;
        operation_.update_metadata({{key_, fmt::format("{}{:.2f}MB ({:.2f}MB/s)", prefix_, megabytes,
                                                       seconds > 0.01 ? megabytes / seconds : 0)}});
    }

private:
    static constexpr std::chrono::milliseconds kPause{200};
    operations::Operation& operation_;
    std::string key_, prefix_;
    std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now(), shown_at_;
};

}  // namespace lxmgr::instances
