#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "storage/directory_maker.h"

namespace lxmgr::storage {

/// Removes what lies in a pool's tmp/: at once when it is small, else on a thread of its own, which starts
/// when it is first needed. What cannot be removed, or is left at the end of the process, waits for the next
/// recover(). Thread-safe after open().
class Rubbish {
public:
    explicit Rubbish(const DirectoryMaker& maker) : maker_(maker) {}
    ~Rubbish();  ///< ends an unfinished removal early

    /// @param tmp_fd  stays owned by the caller, who keeps it open as long as this object lives
    void open(int tmp_fd) { tmp_fd_ = tmp_fd; }
    /// A name that is on its way out already is left alone.
    void remove(const std::string& name);
    /// Waits until the thread has nothing left to do.
    void drain();

private:
    bool is_being_removed(const std::string& name);
    void work(const std::stop_token& stop);

    std::vector<std::string> remove_or_log(const std::string& name, const Interrupted& interrupted) const;

    const DirectoryMaker& maker_;
    int tmp_fd_ = -1;
    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::deque<std::string> waiting_;
    std::string current_;  ///< what the thread removes now; empty: nothing
    std::jthread thread_;
};

}  // namespace lxmgr::storage
