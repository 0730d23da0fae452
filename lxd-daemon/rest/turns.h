#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <map>
#include <memory>
#include <string>

namespace lxmgr::rest {

/// So many coroutines at a time, the others wait in the order they came. I/O thread only.
class Turns {
public:
    Turns(boost::asio::io_context& io, std::size_t at_once);
    /// The turn ends when what this gives is let go of.
    boost::asio::awaitable<std::shared_ptr<void>> take();

private:
    struct State;
    std::shared_ptr<State> state_;
};

/// Turns of what has a name: one at a time for each. I/O thread only.
class TurnsByName {
public:
    explicit TurnsByName(boost::asio::io_context& io) : io_(io) {}
    /// The turn ends when what this gives is let go of.
    boost::asio::awaitable<std::shared_ptr<void>> take(std::string name);

private:
    boost::asio::io_context& io_;
    std::map<std::string, std::weak_ptr<Turns>> turns_;  ///< of those that somebody has or waits for
};

}  // namespace lxmgr::rest
