#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <memory>

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

}  // namespace lxmgr::rest
