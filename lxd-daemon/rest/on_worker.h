#pragma once
#include <boost/asio/awaitable.hpp>
#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "lxd-daemon/base/result.h"

namespace lxmgr::rest {

struct Services;

/// Runs `work` on the worker pool and resumes the coroutine on the I/O thread. An exception from `work`
/// arrives in the coroutine. When the coroutine goes away meanwhile, the work still runs to its end.
boost::asio::awaitable<void> run_on_worker(Services& services, std::move_only_function<void()> work);

/// Blocking work with a value. Two statements, see STYLE section 5:
/// `auto pending = on_worker(services, [..] { return ...; }); LX_CO_TRY_AS(auto x, co_await
/// std::move(pending));`
template <typename Work>
    requires std::invocable<Work&>
boost::asio::awaitable<std::invoke_result_t<Work&>> on_worker(Services& services, Work work) {
    using Value = std::invoke_result_t<Work&>;
    // Shared with the worker: the coroutine may be destroyed before the work has ended.
    auto slot = std::make_shared<std::optional<Value>>();
    auto job = [slot, work = std::move(work)]() mutable { slot->emplace(work()); };
    auto pending = run_on_worker(services, std::move(job));
    co_await std::move(pending);
    co_return std::move(**slot);
}

/// The same with the type said by the caller: on_worker<T>(services, ...) for work that gives a Result<T>.
template <typename T>
boost::asio::awaitable<Result<T>> on_worker(Services& services, std::function<Result<T>()> work) {
    auto slot = std::make_shared<std::optional<Result<T>>>();
    auto job = [slot, work = std::move(work)]() { slot->emplace(work()); };
    auto pending = run_on_worker(services, std::move(job));
    co_await std::move(pending);
    co_return std::move(**slot);
}

}  // namespace lxmgr::rest
