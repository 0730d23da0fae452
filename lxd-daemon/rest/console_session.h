#pragma once
#include <memory>
#include <string>

#include "lxd-daemon/operations/operation.h"
#include "lxd-daemon/rest/meeting.h"
#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest {

struct ConsoleOrder {
    std::string instance;
    unsigned width = 0, height = 0;  ///< 0: leave as it is
    std::shared_ptr<Meeting> meeting;
};

/// Joins the instance's console to the operation's websockets until the client detaches or the instance
/// stops.
void start_console(Services& services, operations::OperationPtr operation, ConsoleOrder order);

}  // namespace lxmgr::rest
