#include "lxd-daemon/rest/pump.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <vector>

namespace lxmgr::rest {
namespace asio = boost::asio;
using boost::system::error_code;

namespace {
constexpr std::size_t kChunk = 32768;
}

asio::awaitable<void> pump_output(std::shared_ptr<Descriptor> from, std::shared_ptr<Websocket> to,
                                  std::shared_ptr<const OutputEnd> end) {
    std::vector<char> chunk(kChunk);
    from->non_blocking(true);
    for (;;) {
        error_code error;
        std::size_t size = 0;
        if (end->asked) {
            size = from->read_some(asio::buffer(chunk), error);
        } else {
            auto reading =
                from->async_read_some(asio::buffer(chunk), asio::redirect_error(asio::use_awaitable, error));
            size = co_await std::move(reading);
            if (error == asio::error::operation_aborted && end->asked) continue;
        }
        // A terminal says EIO when its last user has closed it.
        if (error) break;
        auto writing = to->write({chunk.data(), size}, /*text=*/false);
        if (!co_await std::move(writing)) co_return;
    }
    auto ending = to->write({}, /*text=*/true);
    (void)co_await std::move(ending);
}

asio::awaitable<bool> pump_input(std::shared_ptr<Websocket> from, std::shared_ptr<Descriptor> to) {
    std::vector<char> chunk(kChunk);
    bool message_start = true;
    for (;;) {
        auto reading = from->read(chunk);
        const auto got = co_await std::move(reading);
        if (!got) co_return false;
        if (got->text && got->size == 0 && got->message_end && message_start) co_return true;
        message_start = got->message_end;
        if (!to->is_open()) continue;
        error_code error;
        auto writing = asio::async_write(*to, asio::buffer(chunk.data(), got->size),
                                         asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(writing);
        if (error) to->close(error);
    }
}

asio::awaitable<void> read_to_end(std::shared_ptr<Websocket> from) {
    std::array<char, 512> chunk;
    for (;;) {
        auto reading = from->read(chunk);
        if (!co_await std::move(reading)) co_return;
    }
}

}  // namespace lxmgr::rest
