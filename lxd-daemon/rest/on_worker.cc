#include "lxd-daemon/rest/on_worker.h"

#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>

#include "lxd-daemon/operations/worker_pool.h"
#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest {

namespace asio = boost::asio;

asio::awaitable<void> run_on_worker(Services& services, std::move_only_function<void()> work) {
    auto initiate = [&services](auto handler, std::move_only_function<void()> job) {
        auto body = [&services, handler = std::move(handler), job = std::move(job)]() mutable {
            std::exception_ptr thrown;
            try {
                job();
            } catch (...) {
                thrown = std::current_exception();
            }
            job = nullptr;
            auto resume = [handler = std::move(handler), thrown]() mutable { std::move(handler)(thrown); };
            asio::post(services.io, std::move(resume));
        };
        services.workers.post(std::move(body));
    };
    auto pending = asio::async_initiate<const asio::use_awaitable_t<>, void(std::exception_ptr)>(
        std::move(initiate), asio::use_awaitable, std::move(work));
    co_await std::move(pending);
}

}  // namespace lxmgr::rest
