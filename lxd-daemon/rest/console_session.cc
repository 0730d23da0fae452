#include "lxd-daemon/rest/console_session.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "lxd-daemon/base/log.h"
#include "lxd-daemon/rest/control_message.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/pump.h"
#include "lxd-daemon/runtime/container.h"

namespace lxmgr::rest {
namespace {

namespace asio = boost::asio;
constexpr std::chrono::seconds kConsoleArrivalTime{30};

class Console : public std::enable_shared_from_this<Console> {
public:
    Console(Services& services, operations::OperationPtr operation, ConsoleOrder order)
        : services_(services),
          operation_(std::move(operation)),
          order_(std::move(order)),
          end_(std::make_shared<OutputEnd>()) {}

    static asio::awaitable<void> run(std::shared_ptr<Console> self);

private:
    asio::awaitable<Result<>> serve();
    asio::awaitable<void> resize(unsigned width, unsigned height);
    static asio::awaitable<void> serve_input(std::shared_ptr<Console> self);
    static asio::awaitable<void> serve_control(std::shared_ptr<Console> self);
    void detach();

    Services& services_;
    operations::OperationPtr operation_;
    ConsoleOrder order_;
    std::shared_ptr<Descriptor> console_;
    std::shared_ptr<OutputEnd> end_;
};

asio::awaitable<void> Console::resize(unsigned width, unsigned height) {
    if (width == 0 || height == 0) co_return;
    auto change = [this, width, height] {
        return services_.runtime->resize_console(order_.instance, width, height);
    };
    auto changing = on_worker(services_, std::move(change));
    const auto changed = co_await std::move(changing);
    if (!changed)
        log::debug("console not resized",
                   {{"instance", order_.instance}, {"error", changed.error().message}});
}

/// Ends the output, and with it the session; the console itself stays.
void Console::detach() {
    boost::system::error_code ignored;
    console_->close(ignored);
}

asio::awaitable<void> Console::serve_input(std::shared_ptr<Console> self) {
    const auto socket = self->order_.meeting->socket("0");
    auto pumping = pump_input(socket, self->console_);
    // An end of input says only that the client's terminal has no more: it goes on watching.
    if (co_await std::move(pumping)) {
        auto reading = read_to_end(socket);
        co_await std::move(reading);
    }
    self->detach();
}

asio::awaitable<void> Console::serve_control(std::shared_ptr<Console> self) {
    auto arriving = self->order_.meeting->control();
    const auto socket = co_await std::move(arriving);
    if (!socket) co_return;
    for (;;) {
        auto reading = socket->read_message(kMaxControlMessage);
        const auto text = co_await std::move(reading);
        if (!text) break;
        const auto message = parse_control_message(*text);
        if (!message || message->kind != ControlMessage::Kind::resize) continue;
        auto resizing = self->resize(message->width, message->height);
        co_await std::move(resizing);
    }
    self->detach();
}

asio::awaitable<Result<>> Console::serve() {
    auto meeting = order_.meeting->all_arrived(kConsoleArrivalTime);
    if (!co_await std::move(meeting))
        co_return fail(Status::bad_request, "Timed out waiting for the websockets");
    auto attach = [this] { return services_.runtime->attach_console(order_.instance); };
    auto attaching = on_worker(services_, std::move(attach));
    LX_CO_TRY_AS(UniqueFd fd, co_await std::move(attaching));
    console_ = std::make_shared<Descriptor>(services_.io, fd.release());
    auto resizing = resize(order_.width, order_.height);
    co_await std::move(resizing);
    asio::co_spawn(services_.io, serve_input(shared_from_this()), asio::detached);
    asio::co_spawn(services_.io, serve_control(shared_from_this()), asio::detached);
    auto pumping = pump_output(console_, order_.meeting->socket("0"), end_);
    co_await std::move(pumping);
    detach();
    order_.meeting->end();
    for (const char* name : {"0", "control"}) {
        if (const auto& socket = order_.meeting->socket(name)) socket->close();
    }
    co_return Result<>{};
}

asio::awaitable<void> Console::run(std::shared_ptr<Console> self) {
    Result<> served = fail(Status::internal, "Internal error, see the daemon's log");
    try {
        auto serving = self->serve();
        served = co_await std::move(serving);
    } catch (const std::exception& bug) {
        log::error("exception in a console session",
                   {{"operation", self->operation_->id()}, {"what", bug.what()}});
    }
    self->services_.meetings.erase(self->operation_->id());
    if (served) {
        self->operation_->finish(nlohmann::json(nullptr));
    } else {
        self->order_.meeting->close();
        self->operation_->finish(std::unexpected(served.error()));
    }
}

}  // namespace

void start_console(Services& services, operations::OperationPtr operation, ConsoleOrder order) {
    services.meetings.emplace(operation->id(), order.meeting);
    auto console = std::make_shared<Console>(services, std::move(operation), std::move(order));
    asio::co_spawn(services.io, Console::run(std::move(console)), asio::detached);
}

}  // namespace lxmgr::rest
