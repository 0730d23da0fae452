#pragma once
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "images/byte_source.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::rest {

class Incoming;
struct Services;

/// Runs `work` on a worker, with the body as it comes in. Ends when both have: `work`, and the body, or
/// nobody reads on. When the coroutine goes away meanwhile, `work` gets an error for the rest of the body.
/// Errors: what broke the body, which `work` has got, too; `internal` when `work` threw.
boost::asio::awaitable<Result<>> work_on_body(Incoming& incoming, Services& services,
                                              std::function<void(std::shared_ptr<images::ByteSource>)> work);

/// The same for work that gives something.
template <typename T>
boost::asio::awaitable<Result<T>> read_on_worker(
    Incoming& incoming, Services& services,
    std::function<Result<T>(std::shared_ptr<images::ByteSource>)> work) {
    // Shared with the worker: the coroutine may be destroyed before the work has ended.
    auto slot = std::make_shared<std::optional<Result<T>>>();
    auto job = [slot, work = std::move(work)](std::shared_ptr<images::ByteSource> body) {
        slot->emplace(work(std::move(body)));
    };
    auto pending = work_on_body(incoming, services, std::move(job));
    LX_CO_TRY(co_await std::move(pending));
    co_return std::move(**slot);
}

}  // namespace lxmgr::rest
