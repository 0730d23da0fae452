#pragma once
#include <string>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

/// The lxmgr-proxy process of one device, and the file whose lock tells that it lives.
namespace lxmgr::devices {

struct ProxyProcess {
    std::string label;  ///< for people, in the process list
    std::string lock_file;
    std::vector<std::string> arguments;  ///< after the label, see proxy/main.cc
    int pidfd = -1, netns = -1, root = -1;
    std::vector<int> listeners;
};

/// Starts it and returns when it serves. If this daemon dies before, so does it.
Result<> start_proxy(const ProxyProcess& process);
bool proxy_runs(const std::string& lock_file);
/// Ends it, waits for that, and removes the file. None is success.
Result<> end_proxy(const std::string& lock_file);

}  // namespace lxmgr::devices
