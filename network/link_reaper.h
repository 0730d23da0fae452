#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

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
    /// Until everything given so far is gone.
    void finish();

private:
    void work();

    std::mutex mutex_;
    std::condition_variable idle_;
    std::deque<std::string> names_;
    std::thread worker_;
    bool working_ = false;
};

}  // namespace lxmgr::network
