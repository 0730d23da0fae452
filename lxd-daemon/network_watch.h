#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>

#include "lxd-daemon/instances/networks.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/operations/worker_pool.h"
#include "network/watch.h"

namespace lxmgr {

/// Waits on the I/O thread for what others do to networks, and has it set right on a worker: a little later,
/// so that one repair answers many changes.
class NetworkWatch {
public:
    NetworkWatch(boost::asio::io_context& io, operations::WorkerPool& workers, instances::Networks& networks,
                 instances::Service& instances);
    NetworkWatch(NetworkWatch&&) = delete;
    ~NetworkWatch() { stop(); }
    /// Failures are logged: then nothing is repaired.
    void start();
    void stop();

private:
    void wait();
    void take();
    /// Now and then: servers that no longer answer tell nobody.
    void look_later();

    operations::WorkerPool& workers_;
    instances::Networks& networks_;
    instances::Service& instances_;
    std::unique_ptr<network::Watch> watch_;
    boost::asio::posix::stream_descriptor readable_;
    boost::asio::steady_timer delay_;
    boost::asio::steady_timer look_;
};

}  // namespace lxmgr
