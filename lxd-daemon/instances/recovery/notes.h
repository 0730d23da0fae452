#pragma once
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

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
    void queue(const Frame& event);
    void work();
    void work_on(const Frame& event);
    void work_on_url(const std::string& url, bool of_a_run);
    void all_of_instance(const std::string& name, bool with_snapshots);
    /// @param encoded_name  as URLs have it; empty: of all
    void all_of_volumes(const std::string& pool, const std::string& encoded_name);
    void everything();
    [[nodiscard]] std::string marker() const;

    Context& context_;
    std::mutex mutex_;
    std::vector<Frame> queue_;
    bool busy_ = false, begun_ = false;
    std::optional<events::Hub::Subscription> subscription_;
};

}  // namespace lxmgr::instances
