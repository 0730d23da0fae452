#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/instances/files.h"

namespace lxmgr::instances::sftp {

/// The SFTP clients there are, each served by a thread of its own: a file system inside the instance that
/// hangs holds up nobody else. Thread-safe.
class Sessions {
public:
    Sessions();
    Sessions(Sessions&&) = delete;
    /// Ends all; waits a little for what they are at.
    ~Sessions();
    /// Serves the connection until it ends, in the background. Errors: `unavailable` when there are too many.
    Result<> serve(const std::string& instance, UniqueFd connection, InstanceRoot root);
    /// Closes the connections of an instance that goes away or is renamed: they hold its root.
    void end(const std::string& instance);

private:
    struct State;
    static void run(const std::shared_ptr<State>& state, std::uint64_t id, int connection, InstanceRoot root);
    std::shared_ptr<State> state_;  ///< a thread that hangs keeps it when we are gone
};

}  // namespace lxmgr::instances::sftp
