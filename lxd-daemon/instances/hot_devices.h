#pragma once
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <thread>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/own.h"

namespace lxmgr::instances {

struct Context;

/// Gives running instances the nodes of devices of the host that come, and takes those that go (usb,
/// unix-hotplug, and unix-char and unix-block that need not be there). Its thread listens to the kernel, and
/// exists only while a running instance has such a device. Thread-safe.
class HotDevices {
public:
    explicit HotDevices(Context& context) : context_(context) {}
    ~HotDevices() { end(); }
    HotDevices(HotDevices&&) = delete;
    /// The instance runs with these devices from now on; none: it has stopped. What came or went meanwhile is
    /// looked for at once.
    void watch(const std::string& instance, const api::DeviceMap& expanded);
    /// The daemon ends: nothing is looked for any more.
    void end();

private:
    void listen();
    void run(const std::stop_token& stop, const UniqueFd& events, const UniqueFd& wake);
    /// Looks which instances have other nodes than they should, and sets them right as operations.
    void look(const std::set<std::string>& instances);

    Context& context_;
    std::mutex mutex_;
    std::set<std::string> instances_;
    bool ended_ = false;
    std::jthread thread_;
};

}  // namespace lxmgr::instances
