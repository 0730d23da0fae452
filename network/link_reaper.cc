#include "network/link_reaper.h"

#include <system_error>

#include "network/bridge.h"

namespace lxmgr::network {

LinkReaper& LinkReaper::instance() {
    static LinkReaper reaper;
    return reaper;
}

LinkReaper::~LinkReaper() {
    if (worker_.joinable()) worker_.join();
}

void LinkReaper::add(const std::string& name) {
    const std::lock_guard lock(mutex_);
    names_.push_back(name);
    if (working_) return;
    if (worker_.joinable()) worker_.join();  // it has left work() already, or is about to and needs no lock
    try {
        worker_ = std::thread([this] { work(); });
        working_ = true;
    } catch (const std::system_error&) {
        // No thread to be had: it is only slower here.
        names_.pop_back();
        static_cast<void>(delete_veth(name));
    }
}

void LinkReaper::work() {
    std::unique_lock lock(mutex_);
    while (!names_.empty()) {
        const std::string name = std::move(names_.front());
        names_.pop_front();
        lock.unlock();
        // Most are gone already, with their instance's namespace; a failure leaves what the kernel still
        // removes.
        static_cast<void>(delete_veth(name));
        lock.lock();
    }
    working_ = false;
    idle_.notify_all();
}

void LinkReaper::finish() {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return !working_; });
}

void delete_veth_later(const std::string& name) { LinkReaper::instance().add(name); }
void finish_deletions() { LinkReaper::instance().finish(); }

}  // namespace lxmgr::network
