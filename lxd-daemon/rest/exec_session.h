#pragma once
#include <memory>
#include <string>

#include "lxd-daemon/api/instance_requests.h"
#include "lxd-daemon/operations/operation.h"
#include "lxd-daemon/rest/meeting.h"
#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest {

/// A command that a client asked for: it starts when its websockets are there, and the operation ends with
/// its exit code. I/O thread only.
struct ExecOrder {
    std::string instance;
    api::InstanceExecPost post;        ///< environment complete
    std::shared_ptr<Meeting> meeting;  ///< null: no websockets
    std::string record_base;           ///< files BASE.stdout and BASE.stderr take the output; empty: none do
};

/// Serves it in the background until it has ended.
void start_exec(Services& services, operations::OperationPtr operation, ExecOrder order);

}  // namespace lxmgr::rest
