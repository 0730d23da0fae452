#pragma once
#include <boost/asio/io_context.hpp>
#include <memory>

namespace lxmgr::operations {
class Registry;
}

namespace lxmgr::rest {

/// Makes the registry forget ended operations when their time is up, so that a daemon without work holds
/// none. The timer runs only while there is something to forget. Both arguments outlive this.
class Expiry {
public:
    Expiry(boost::asio::io_context& io, operations::Registry& operations);
    ~Expiry();

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace lxmgr::rest
