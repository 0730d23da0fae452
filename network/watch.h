#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::network {

/// Tells what happens to networks without us: interfaces deleted, firewall rules changed by other programs,
/// servers (dnsmasq) that end. One descriptor for all of it, which the owner's event loop waits for; filters
/// in the kernel keep all else away, so that the start of an instance wakes nobody. Thread-safe.
class Watch {
public:
    /// Of the network namespace of the calling thread.
    static Result<std::unique_ptr<Watch>> open();
    /// Readable when there is something to take().
    [[nodiscard]] int fd() const { return epoll_.get(); }

    struct Events {
        std::set<std::string> deleted;  ///< names of interfaces
        std::set<std::string> ended;    ///< names given to follow()
        bool rules = false;             ///< another program changed the ruleset
        bool lost = false;              ///< some events: look at everything
    };
    /// Never blocks.
    Events take();
    /// Follows this process under a name, in place of the one before.
    Result<> follow(const std::string& name, UniqueFd pidfd);

private:
    Watch() = default;
    void read_links(Events& events);
    void read_rules(Events& events);

    UniqueFd epoll_, links_, rules_;
    std::mutex mutex_;
    std::map<std::string, UniqueFd> processes_;
};

}  // namespace lxmgr::network
