#pragma once
#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "lxd-daemon/base/result.h"
#include "lxd-daemon/rest/turns.h"

namespace lxmgr::operations {
class WorkerPool;
class Registry;
}  // namespace lxmgr::operations
namespace lxmgr::events {
class Hub;
}
namespace lxmgr::database {
class Database;
}
namespace lxmgr::runtime {
class Runtime;
}
namespace lxmgr::instances {
class Service;
class Pools;
class Networks;
}  // namespace lxmgr::instances

namespace lxmgr::rest {

class ServerInfo;  ///< what GET /1.0 shows, see server_info.h
class Meeting;     ///< the websockets of one operation, see meeting.h
class Https;       ///< the listener for clients elsewhere, see https/https.h
class Admission;   ///< how clients become trusted, see admission.h
class History;     ///< who asked for what, see history.h
class GuestApi;    ///< what instances ask about themselves, see guest_api.h

/// What exec and console ask of the instances room. Memory only: runs on the I/O thread.
struct ExecTarget {
    /// The instance exists and runs; `environment` is completed with what the instance's config sets
    /// (environment.*). Errors: `not_found`, `bad_request` "Instance is not running".
    std::function<Result<>(const std::string& instance, std::map<std::string, std::string>& environment)>
        prepare;
    /// Host directory of the log files of an instance that prepare() accepted; the daemon's, not the guest's.
    std::function<std::string(const std::string& instance)> logs_dir;
    /// Path of the console ring file of an instance, running or not. Errors: `not_found`.
    std::function<Result<std::string>(const std::string& instance)> console_log;
};

/// All that handlers may use, wired once in main. The pointers are set in the daemon; a test of single routes
/// sets what those routes use.
struct Services {
    std::string root;  ///< state directory, absolute, without a slash at the end
    boost::asio::io_context& io;
    operations::WorkerPool& workers;
    operations::Registry& operations;
    events::Hub& hub;
    database::Database* database = nullptr;
    runtime::Runtime* runtime = nullptr;
    instances::Service* instances = nullptr;
    instances::Pools* pools = nullptr;        ///< live storage pools: lxd-daemon/instances/pools.h
    instances::Networks* networks = nullptr;  ///< live networks: lxd-daemon/instances/networks.h
    ServerInfo* server = nullptr;
    GuestApi* guests = nullptr;
    Https* https = nullptr;
    Admission* admission = nullptr;
    History* history = nullptr;
    Turns config_changes{io, 1};  ///< of the server: one at a time, from the check of the ETag to the end
    /// Of objects, by their paths: what merges into one reads it when those before have changed it.
    TurnsByName object_changes{io};
    std::function<void()> shut_down{};  ///< begins to stop all instances, then the daemon; returns at once
    ExecTarget exec_target{};
    std::map<std::string, std::shared_ptr<Meeting>> meetings{};  ///< by operation id; I/O thread only
};

}  // namespace lxmgr::rest
