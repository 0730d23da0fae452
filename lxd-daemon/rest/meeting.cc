#include "lxd-daemon/rest/meeting.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::rest {
namespace asio = boost::asio;
namespace {
constexpr const char* kControl = "control";
}

Meeting::Meeting(asio::io_context& io, const std::vector<std::string>& names) : change_(io) {
    for (const auto& name : names) seats_[name].secret = random_hex(32);
}

nlohmann::json Meeting::secrets() const {
    nlohmann::json out = nlohmann::json::object();
    for (const auto& [name, seat] : seats_) out[name] = seat.secret;
    return out;
}

std::optional<std::string> Meeting::claim(std::string_view secret) {
    std::optional<std::string> found;
    for (auto& [name, seat] : seats_) {
        const bool same = secret.size() == seat.secret.size() &&
                          CRYPTO_memcmp(secret.data(), seat.secret.data(), secret.size()) == 0;
        if (same && !seat.claimed && !closed_) found = name;
    }
    if (found) seats_.at(*found).claimed = true;
    return found;
}

void Meeting::unclaim(const std::string& name) { seats_.at(name).claimed = false; }

void Meeting::arrive(const std::string& name, std::shared_ptr<Websocket> socket) {
    if (closed_) return socket->abort();
    seats_.at(name).socket = std::move(socket);
    if (complete()) change_.cancel();  // control() waits only after this was so
}

bool Meeting::complete() const {
    return std::ranges::all_of(
        seats_, [](const auto& seat) { return seat.first == kControl || seat.second.socket != nullptr; });
}

asio::awaitable<bool> Meeting::all_arrived(std::chrono::steady_clock::duration limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!complete() && !closed_ && std::chrono::steady_clock::now() < deadline) {
        boost::system::error_code error;
        change_.expires_at(deadline);
        auto wait = change_.async_wait(asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(wait);
    }
    co_return complete() && !closed_;
}

asio::awaitable<std::shared_ptr<Websocket>> Meeting::control() {
    const auto& seat = seats_.at(kControl);
    while (!seat.socket && !closed_) {
        boost::system::error_code error;
        change_.expires_at(std::chrono::steady_clock::time_point::max());
        auto wait = change_.async_wait(asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(wait);
    }
    co_return seat.socket;
}

void Meeting::end() {
    if (std::exchange(closed_, true)) return;
    change_.cancel();
}

void Meeting::close() {
    end();
    for (auto& [name, seat] : seats_) {
        if (seat.socket) seat.socket->abort();
    }
}

}  // namespace lxmgr::rest
