#include <fmt/format.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/upgrade.h"
#include "network/address_watch.h"

// Ours: the request is answered when the instance is ready, or has an address, or the time is over. Nothing
// is asked again and again: lifecycle events and the kernel's notices of addresses wake it.
namespace lxmgr::rest {
namespace {

namespace asio = boost::asio;

constexpr std::int64_t kMaxSeconds = 24 * 3600;

/// Something to look at again, or the end of the time. I/O thread only.
class Waiter : public std::enable_shared_from_this<Waiter> {
public:
    Waiter(asio::io_context& io, std::chrono::seconds limit)
        : io_(io), timer_(io), deadline_(std::chrono::steady_clock::now() + limit) {
        timer_.expires_at(deadline_);
    }
    void changed() {
        changed_ = true;
        timer_.cancel();
    }
    void leave() {
        left_ = true;
        timer_.cancel();
    }
    [[nodiscard]] bool over() const { return left_ || std::chrono::steady_clock::now() >= deadline_; }

    events::Hub::Subscription listen(events::Hub& hub) {
        auto wake = [weak = weak_from_this(), &io = io_](const events::Event&) {
            asio::post(io, [weak] {
                if (const auto self = weak.lock()) self->changed();
            });
        };
        return hub.subscribe(static_cast<unsigned>(events::Kind::lifecycle), std::move(wake));
    }
    void watch(UniqueFd addresses) { addresses_.emplace(io_, addresses.release()); }
    /// Call before what the next look will see is read.
    void arm() {
        changed_ = false;
        if (!addresses_ || armed_) return;
        network::drain_address_watch(addresses_->native_handle());
        armed_ = true;
        auto notice = [weak = weak_from_this()](const boost::system::error_code& error) {
            const auto self = weak.lock();
            if (error || !self) return;
            self->armed_ = false;
            self->changed();
        };
        addresses_->async_wait(asio::posix::stream_descriptor::wait_read, std::move(notice));
    }
    static asio::awaitable<void> wait(std::shared_ptr<Waiter> self) {
        if (self->changed_ || self->left_) co_return;
        boost::system::error_code error;
        auto pending = self->timer_.async_wait(asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(pending);
    }

private:
    asio::io_context& io_;
    asio::steady_timer timer_;
    std::chrono::steady_clock::time_point deadline_;
    std::optional<asio::posix::stream_descriptor> addresses_;
    bool armed_ = false;
    bool changed_ = false;
    bool left_ = false;
};

Result<std::chrono::seconds> parse_timeout(const std::string& text) {
    if (text == "-1") return std::chrono::seconds(kMaxSeconds);
    const auto seconds = parse_int(text);
    if (seconds && *seconds >= 0 && *seconds <= kMaxSeconds) return std::chrono::seconds(*seconds);
    return fail(Status::bad_request,
                fmt::format("Bad timeout '{}': use seconds, 0 to {}, or -1", text, kMaxSeconds));
}

nlohmann::json to_json(const instances::Waited& seen) {
    nlohmann::json out{{"met", seen.met}, {"addresses", seen.addresses}, {"ready_at", nullptr}};
    if (seen.ready_at != Time{}) out["ready_at"] = to_rfc3339(seen.ready_at);
    return out;
}

Handled wait_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    const std::string name = request.path_arg("name");
    const std::string what = request.query_or("for", "ready");
    if (what != "ready" && what != "ip")
        co_return fail(Status::bad_request,
                       fmt::format("Cannot wait for '{}': use for=ready or for=ip", what));
    LX_CO_TRY_AS(const auto limit, parse_timeout(request.query_or("timeout", "-1")));
    LX_CO_TRY(services.instances->require(name));
    auto waiter = std::make_shared<Waiter>(services.io, limit);
    const auto subscription = waiter->listen(services.hub);
    if (request.peer != nullptr) request.peer->on_hangup([waiter] { waiter->leave(); });
    const bool addresses = what == "ip";
    if (addresses) {
        auto open = [&services, name] { return services.instances->watch_addresses(name); };
        auto opening = on_worker(services, std::move(open));
        LX_CO_TRY_AS(UniqueFd watch, co_await std::move(opening));
        waiter->watch(std::move(watch));
    }
    for (;;) {
        waiter->arm();
        auto look = [&services, name, addresses] { return services.instances->look(name, addresses); };
        auto looking = on_worker(services, std::move(look));
        LX_CO_TRY_AS(const auto seen, co_await std::move(looking));
        if (seen.met || waiter->over()) co_return Response::sync(to_json(seen));
        auto waiting = Waiter::wait(waiter);
        co_await std::move(waiting);
    }
}

constexpr Route kInstanceWaitRoutes[] = {
    {Verb::get, "/1.0/instances/{name}/lxmgr_wait", Access::can_view, wait_get},
};

}  // namespace

std::span<const Route> instance_wait_routes() { return kInstanceWaitRoutes; }

}  // namespace lxmgr::rest
