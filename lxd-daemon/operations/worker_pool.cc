#include "lxd-daemon/operations/worker_pool.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <exception>

#include "lxd-daemon/base/log.h"

namespace lxmgr::operations {
namespace {

constexpr std::chrono::seconds kIdleTime{10};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kStackBytes = std::size_t{4} << 20;  // sanitizers make frames several times larger
#else
constexpr std::size_t kStackBytes = std::size_t{512} << 10;
#endif

void run_job(std::move_only_function<void()>& work) {
    try {
        work();
    } catch (const std::exception& bug) {
        log::error("exception escaped work on the pool", {{"what", bug.what()}});
    } catch (...) {
        log::error("unknown exception escaped work on the pool");
    }
}

}  // namespace

WorkerPool::WorkerPool(unsigned max_threads) : max_threads_(std::max(1U, max_threads)) {}

WorkerPool::~WorkerPool() {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    for (Idle* idle : idle_) {
        idle->called = true;
        idle->wake.notify_one();
    }
    idle_.clear();
    ended_.wait(lock, [this] { return threads_ == 0; });
}

unsigned WorkerPool::thread_count() const {
    const std::lock_guard lock(mutex_);
    return threads_;
}

std::size_t WorkerPool::idle_count() const {
    const std::lock_guard lock(mutex_);
    return idle_.size();
}

void WorkerPool::post(std::move_only_function<void()> work) {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
    if (!idle_.empty()) {
        Idle* idle = idle_.back();
        idle_.pop_back();
        idle->called = true;
        idle->wake.notify_one();
        return;
    }
    if (threads_ < max_threads_ + waiting_ && !start_thread() && threads_ == 0) {
        // Nobody would ever run it; the caller cannot be made to block instead.
        log::error("cannot start a worker thread, work waits for the next attempt");
    }
}

void WorkerPool::wait_begins() {
    const std::lock_guard lock(mutex_);
    ++waiting_;
    if (!queue_.empty() && idle_.empty() && threads_ < max_threads_ + waiting_) start_thread();
}

void WorkerPool::wait_ends() {
    const std::lock_guard lock(mutex_);
    --waiting_;
}

bool WorkerPool::start_thread() {
    pthread_attr_t attributes;
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setstacksize(&attributes, kStackBytes);
    ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are the main thread's
    pthread_t thread{};
    const bool started = ::pthread_create(&thread, &attributes, &WorkerPool::thread_main, this) == 0;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ::pthread_attr_destroy(&attributes);
    if (started) ++threads_;
    return started;
}

void* WorkerPool::thread_main(void* pool) {
    static_cast<WorkerPool*>(pool)->run();
    return nullptr;
}

bool WorkerPool::wait_for_work(std::unique_lock<std::mutex>& lock) {
    if (stopping_) return false;
    Idle self;
    idle_.push_back(&self);
    self.wake.wait_for(lock, kIdleTime, [&self] { return self.called; });
    if (!self.called) std::erase(idle_, &self);
    return self.called;
}

void WorkerPool::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        while (!queue_.empty()) {
            auto work = std::move(queue_.front());
            queue_.pop_front();
            lock.unlock();
            run_job(work);
            work = nullptr;  // what it holds is released before the lock is taken again
            lock.lock();
        }
        if (wait_for_work(lock)) continue;
        if (threads_ == 1 && !stopping_) {
            // The daemon falls idle: free pages, which glibc keeps in every arena, go back to the kernel.
            lock.unlock();
            ::malloc_trim(0);
            lock.lock();
        }
        if (queue_.empty()) break;
    }
    --threads_;
    // Under the lock: the pool may be gone as soon as the destructor sees zero.
    if (stopping_) ended_.notify_all();
}

}  // namespace lxmgr::operations
