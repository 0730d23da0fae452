#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

namespace lxmgr::operations {

/// Threads for blocking work. Grows when all are busy (up to the limit) and lets idle ones go after ten
/// seconds, so that an idle daemon holds none. Small stacks (512 KiB). Thread-safe.
class WorkerPool {
public:
    explicit WorkerPool(unsigned max_threads = 256);
    ~WorkerPool();  ///< runs what is queued, then waits for the threads to end
    WorkerPool(WorkerPool&&) = delete;
    /// Never blocks. An exception that escapes the work is logged as a bug.
    void post(std::move_only_function<void()> work);
    [[nodiscard]] unsigned thread_count() const;
    [[nodiscard]] std::size_t idle_count() const;  ///< of them, those that wait for work

    /// While one lives, its thread waits for something that other work of the pool is to do: there may be a
    /// thread more. Without it as many waits as there may be threads would wait for ever.
    class Waiting {
    public:
        explicit Waiting(WorkerPool& pool) : pool_(pool) { pool_.wait_begins(); }
        ~Waiting() { pool_.wait_ends(); }
        Waiting(Waiting&&) = delete;

    private:
        WorkerPool& pool_;
    };

private:
    /// An idle thread's place on the stack below; woken by its own condition.
    struct Idle {
        std::condition_variable wake;
        bool called = false;
    };
    static void* thread_main(void* pool);
    bool start_thread();
    void wait_begins();
    void wait_ends();
    void run();
    bool wait_for_work(std::unique_lock<std::mutex>& lock);

    mutable std::mutex mutex_;
    std::deque<std::move_only_function<void()>> queue_;
    std::vector<Idle*> idle_;  ///< the last to become idle is woken first: the others get old and end
    unsigned threads_ = 0;
    unsigned waiting_ = 0;
    const unsigned max_threads_;
    bool stopping_ = false;
    std::condition_variable ended_;
};

}  // namespace lxmgr::operations
