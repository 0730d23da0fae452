#pragma once
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::network {

/// Deletes veth pairs in the background: the kernel waits for a grace period of 10 to 40 ms at each (RCU,
/// measured), while nobody needs to. The thread exists only while there is work.
class LinkReaper {
public:
    static LinkReaper& instance();
    LinkReaper() = default;
    LinkReaper(LinkReaper&&) = delete;
    ~LinkReaper();
    void add(const std::string& name);
    /// Deletes it before all that waits, and returns when it is gone for all who look.
    Result<> remove(const std::string& name);
    /// Until everything given so far is gone.
    void finish();

private:
    /// A deletion, and who waits for it.
    struct Task {
        std::string name;
        UniqueFd done{};  ///< eventfd
        Result<> result{};
    };
    using TaskPtr = std::shared_ptr<Task>;
    /// Errors: `unavailable` when there is no thread to be had.
    Result<> enqueue(TaskPtr task, bool first);
    void work();

    std::mutex mutex_;
    std::condition_variable idle_;
    std::deque<TaskPtr> tasks_;
    std::thread worker_;
    bool working_ = false;
};

}  // namespace lxmgr::network
