#pragma once
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::instances {

/// Who answers what instances ask through /dev/lxd; both only hand over.
struct GuestServer {
    std::function<void(const std::string& name, UniqueFd listening)> listen;
    std::function<void(const std::string& name)> close;  ///< nothing is answered any more
};

/// The directories that instances see as /dev/lxd. Each holds a listening socket of its own: so which
/// instance asks is known from the socket, and nothing that a guest says or is can change that. The directory
/// is what is mounted, so that the next daemon can put a new socket there. Thread-safe.
class GuestSockets {
public:
    /// Sockets that were opened before are handed over now.
    void serve(GuestServer server);
    /// A new socket in RUN_DIR/guest, which is listening and with the server when this returns.
    Result<> open(const std::string& name, const std::string& run_dir);
    /// No socket is success.
    void close(const std::string& name, const std::string& run_dir);
    /// A detached, read-only mount of the directory.
    static Result<UniqueFd> mount(const std::string& run_dir);

private:
    std::mutex mutex_;
    GuestServer server_;
    std::map<std::string, UniqueFd> waiting_;  ///< for the server
};

}  // namespace lxmgr::instances
