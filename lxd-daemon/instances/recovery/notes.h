#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/base/result.h"
#include "lxd-daemon/events/hub.h"

namespace lxmgr::instances {

struct Context;

/// Keeps the notes beside the volumes (note.h) as the database says, in the background, by listening to
/// lifecycle events. What a crash leaves unwritten, the next daemon writes.
class RecoveryNotes {
public:
    explicit RecoveryNotes(Context& context) : context_(context) {}
    RecoveryNotes(RecoveryNotes&&) = delete;
    ~RecoveryNotes();
    /// At daemon start, once the pools are open.
    void begin();

private:
    using Frame = std::shared_ptr<const std::string>;
    void queue(const Frame& event);  ///< null: for all
    void work();
    void work_on(const Frame& event);
    void work_on_url(const std::string& url, const std::string& project, bool of_a_run);
    void all_of_instance(const std::string& name, bool with_snapshots);
    /// @param encoded_name  as URLs have it; empty: of all
    void all_of_volumes(const std::string& pool, const std::string& encoded_name, const std::string& project);
    void everything();
    void check(const Result<>& written, const std::string& name);
    [[nodiscard]] std::string marker() const;

    Context& context_;
    std::mutex mutex_;
    std::vector<Frame> queue_;
    bool busy_ = false;
    std::atomic<bool> whole_ = false;   ///< all were looked at since the last crash
    std::atomic<bool> failed_ = false;  ///< one could not be written: the next daemon looks at all again
    std::optional<events::Hub::Subscription> subscription_;
};

}  // namespace lxmgr::instances
