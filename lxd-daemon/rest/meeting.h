#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/rest/websocket.h"

namespace lxmgr::rest {

/// Where the websockets of an operation meet: each has a name ("0", "1", "2", "control") and a secret that
/// admits one connection. As LXD's, "control" is not waited for: pylxd never connects it. I/O thread only.
class Meeting {
public:
    Meeting(boost::asio::io_context& io, const std::vector<std::string>& names);

    /// Name -> secret, as metadata "fds" shows them.
    [[nodiscard]] nlohmann::json secrets() const;
    /// The name that the secret stands for, which is used up by this. Every secret is compared in full, so
    /// that time tells nothing.
    std::optional<std::string> claim(std::string_view secret);
    /// Gives a claimed name back: its handshake failed.
    void unclaim(const std::string& name);
    void arrive(const std::string& name, std::shared_ptr<Websocket> socket);
    /// True once all but "control" have arrived; false when the time is up or close() was called.
    boost::asio::awaitable<bool> all_arrived(std::chrono::steady_clock::duration limit);
    /// "control", whenever it arrives; null when end() comes before. One waiter at a time, after
    /// all_arrived().
    boost::asio::awaitable<std::shared_ptr<Websocket>> control();
    /// Valid after all_arrived(); "control" may be null.
    [[nodiscard]] const std::shared_ptr<Websocket>& socket(const std::string& name) const {
        return seats_.at(name).socket;
    }
    /// Admits nobody any more; those who came stay connected.
    void end();
    /// end(), and aborts those who came.
    void close();

private:
    struct Seat {
        std::string secret;
        bool claimed = false;
        std::shared_ptr<Websocket> socket;
    };
    [[nodiscard]] bool complete() const;

    std::map<std::string, Seat> seats_;
    boost::asio::steady_timer change_;
    bool closed_ = false;
};

}  // namespace lxmgr::rest
