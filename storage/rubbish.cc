#include "storage/rubbish.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "lxd-daemon/base/log.h"

namespace lxmgr::storage {
namespace {

/// How long a caller is kept waiting before the rest goes to the thread: a volume that was never booted takes
/// 0.1 ms, one that was takes ten, and what is done of it here is only waited for.
constexpr std::chrono::microseconds kPatience{400};
/// Of the thread, nice(2): what somebody waits for goes first. Not the last of all, as it holds the file
/// system's journal now and then.
constexpr int kNiceness = 10;

}  // namespace

Rubbish::~Rubbish() {
    if (!thread_.joinable()) return;
    thread_.request_stop();
    thread_.join();
}

bool Rubbish::is_being_removed(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return current_ == name || std::ranges::find(waiting_, name) != waiting_.end();
}

/// @return what is left to do
std::vector<std::string> Rubbish::remove_or_log(const std::string& name,
                                                const Interrupted& interrupted) const {
    auto left = maker_.remove(tmp_fd_, name, interrupted);
    if (left) return *std::move(left);
    log::warn("deleted volume left in the pool's tmp directory",
              {{"name", name}, {"error", left.error().message}});
    return {};
}

void Rubbish::remove(const std::string& name) {
    if (is_being_removed(name)) return;
    const auto end = std::chrono::steady_clock::now() + kPatience;
    const auto left = remove_or_log(name, [&] { return std::chrono::steady_clock::now() > end; });
    if (left.empty()) return;
    const std::lock_guard lock(mutex_);
    waiting_.insert(waiting_.end(), left.begin(), left.end());
    if (!thread_.joinable()) {
        thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
    }
    changed_.notify_all();
}

void Rubbish::drain() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_.empty() && current_.empty(); });
}

void Rubbish::work(const std::stop_token& stop) {
    ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNiceness);  // a wish
    std::unique_lock lock(mutex_);
    while (changed_.wait(lock, stop, [this] { return !waiting_.empty(); })) {
        current_ = std::move(waiting_.front());
        waiting_.pop_front();
        const std::string name = current_;
        lock.unlock();
        remove_or_log(name, [&stop] { return stop.stop_requested(); });
        lock.lock();
        current_.clear();
        changed_.notify_all();
    }
}

}  // namespace lxmgr::storage
