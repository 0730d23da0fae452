#include "lxd-daemon/network_watch.h"

#include <chrono>

#include "lxd-daemon/base/log.h"

namespace lxmgr {
namespace {

constexpr std::chrono::milliseconds kDelay{100};
constexpr std::chrono::seconds kLookEvery{30};

}  // namespace

NetworkWatch::NetworkWatch(boost::asio::io_context& io, operations::WorkerPool& workers,
                           instances::Networks& networks, instances::Service& instances)
    : workers_(workers), networks_(networks), instances_(instances), readable_(io), delay_(io), look_(io) {}

void NetworkWatch::start() {
    auto opened = network::Watch::open();
    if (!opened) {
        log::error("changes of networks are not followed", {{"error", opened.error().message}});
        return;
    }
    watch_ = *std::move(opened);
    readable_.assign(watch_->fd());
    networks_.supervise(*watch_, [this](std::function<void()> work) { workers_.post(std::move(work)); });
    wait();
    look_later();
}

void NetworkWatch::stop() {
    if (!readable_.is_open()) return;
    delay_.cancel();
    look_.cancel();
    readable_.release();
}

void NetworkWatch::wait() {
    readable_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                         [this](const boost::system::error_code& error) {
                             if (error) return;
                             delay_.expires_after(kDelay);
                             delay_.async_wait([this](const boost::system::error_code& cancelled) {
                                 if (!cancelled) take();
                             });
                         });
}

void NetworkWatch::look_later() {
    look_.expires_after(kLookEvery);
    look_.async_wait([this](const boost::system::error_code& cancelled) {
        if (cancelled) return;
        networks_.check_servers();
        look_later();
    });
}

void NetworkWatch::take() {
    auto events = watch_->take();
    if (networks_.concerns(events)) {
        workers_.post([this, events = std::move(events)] {
            if (networks_.repair(events)) instances_.repair_nics();
        });
    }
    wait();
}

}  // namespace lxmgr
