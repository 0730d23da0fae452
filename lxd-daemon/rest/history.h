#pragma once
#include <memory>
#include <string_view>

#include "lxd-daemon/base/result.h"

namespace lxmgr::rest {

struct Request;
struct Response;
struct Services;

/// Writes down who asked for what: every request of administrators and their clients that changes something,
/// and every one that was refused. Requests do not wait for it: what they leave is written together a quarter
/// of a second later, on a worker.
class History {
public:
    explicit History(Services& services);
    ~History();  ///< writes what is left; the workers have ended
    History(History&&) = delete;
    /// I/O thread only.
    void note(const Request& request, std::string_view method, const Response& response);
    /// Writes what waits. Blocking.
    Result<> flush();

    struct Impl;

private:
    std::shared_ptr<Impl> impl_;
};

}  // namespace lxmgr::rest
