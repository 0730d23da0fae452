#include "lxd-daemon/rest/turns.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>

namespace lxmgr::rest {
namespace asio = boost::asio;

struct Turns::State {
    asio::io_context& io;
    std::size_t free;
    std::deque<std::shared_ptr<asio::steady_timer>> waiting;

    void give_back() {
        if (io.stopped()) return;  // everything is being taken down
        if (waiting.empty()) {
            ++free;
            return;
        }
        // The turn goes to the first who waits: nobody who comes meanwhile can take it.
        waiting.front()->cancel();
        waiting.pop_front();
    }
};

Turns::Turns(asio::io_context& io, std::size_t at_once)
    : state_(std::make_shared<State>(State{io, at_once, {}})) {}

asio::awaitable<std::shared_ptr<void>> Turns::take() {
    const auto state = state_;
    if (state->free > 0) {
        --state->free;
    } else {
        const auto timer =
            std::make_shared<asio::steady_timer>(state->io, asio::steady_timer::time_point::max());
        state->waiting.push_back(timer);
        boost::system::error_code error;
        auto wait = timer->async_wait(asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(wait);
    }
    co_return std::shared_ptr<void>(state.get(), [state](void*) { state->give_back(); });
}

asio::awaitable<std::shared_ptr<void>> TurnsByName::take(std::string name) {
    std::erase_if(turns_, [](const auto& entry) { return entry.second.expired(); });
    auto turns = turns_[name].lock();
    if (!turns) {
        turns = std::make_shared<Turns>(io_, 1);
        turns_[name] = turns;
    }
    auto taking = turns->take();
    auto turn = co_await std::move(taking);
    co_return std::shared_ptr<void>(turn.get(), [turns, turn](void*) mutable { turn.reset(); });
}

}  // namespace lxmgr::rest
