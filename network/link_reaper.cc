#include "network/link_reaper.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <system_error>

#include "network/bridge.h"
#include "network/links.h"
#include "network/netlink.h"

namespace lxmgr::network {

LinkReaper& LinkReaper::instance() {
    static LinkReaper reaper;
    return reaper;
}

LinkReaper::~LinkReaper() {
    if (worker_.joinable()) worker_.join();
}

Result<> LinkReaper::enqueue(TaskPtr task, bool first) {
    const std::lock_guard lock(mutex_);
    if (!working_) {
        if (worker_.joinable())
            worker_.join();  // it has left work() already, or is about to and needs no lock
        try {
            worker_ = std::thread([this] { work(); });
        } catch (const std::system_error&) {
            return fail(Status::unavailable, "No thread to delete interfaces");
        }
        working_ = true;
    }
    tasks_.insert(first ? tasks_.begin() : tasks_.end(), std::move(task));
    return {};
}

void LinkReaper::add(const std::string& name) {
    // Without a thread it is only slower.
    if (!enqueue(std::make_shared<Task>(Task{name}), false)) static_cast<void>(delete_veth(name).has_value());
}

Result<> LinkReaper::remove(const std::string& name) {
    LX_TRY_AS(const UniqueFd deleted, open_netlink_group(NETLINK_ROUTE, RTNLGRP_LINK, RTM_DELLINK));
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    const auto task = std::make_shared<Task>(Task{name});
    task->done.reset(::eventfd(0, EFD_CLOEXEC));
    if (!task->done) return fail_errno("eventfd", "");
    if (!enqueue(task, true)) return delete_veth(name);
    std::array<pollfd, 2> waited{{{task->done.get(), POLLIN, 0}, {deleted.get(), POLLIN, 0}}};
    for (;;) {
        if (::poll(waited.data(), waited.size(), -1) < 0) continue;
        if (waited[0].revents != 0) return task->result;
        // Of which link does not matter, nor whether some were lost.
        std::array<char, 8192> ignored;
        while (::recv(deleted.get(), ignored.data(), ignored.size(), 0) >= 0 || errno == ENOBUFS) {
        }
        // Asking waits for the lock under which the rest of it disappears.
        LX_TRY_AS(const auto link, find_link(socket, name));
        if (!link) return {};
    }
}

void LinkReaper::work() {
    std::unique_lock lock(mutex_);
    while (!tasks_.empty()) {
        const TaskPtr task = std::move(tasks_.front());
        tasks_.pop_front();
        lock.unlock();
        // Most are gone already, with their instance's namespace; a failure leaves what the kernel still
        // removes.
        task->result = delete_veth(task->name);
        const std::uint64_t one = 1;
        if (task->done) static_cast<void>(!::write(task->done.get(), &one, sizeof one));
        lock.lock();
    }
    working_ = false;
    idle_.notify_all();
}

void LinkReaper::finish() {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return !working_; });
}

Result<> delete_veth_promptly(const std::string& name) {
    LX_TRY(check_interface_name(name));
    return LinkReaper::instance().remove(name);
}
void delete_veth_later(const std::string& name) { LinkReaper::instance().add(name); }
void finish_deletions() { LinkReaper::instance().finish(); }

}  // namespace lxmgr::network
