#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "lxd-daemon/base/log.h"

namespace lxmgr::events {

enum class Kind : unsigned {
    operation = 1,
    lifecycle = 2,
    logging = 4,
    guest_config = 8,  ///< for those in an instance
    guest_device = 16,
};

/// One event, serialised once for all listeners.
struct Event {
    Kind kind;
    std::string project;                      ///< empty: of no project (logging); guest_*: the instance
    std::shared_ptr<const std::string> text;  ///< the JSON frame
};

/// Hands events to listeners, to each in the order of publishing. Thread-safe; publish() never blocks: a
/// listener must only queue (rest/ posts to the I/O thread) and must not call the hub. No call comes after a
/// subscription's end.
class Hub {
public:
    using Listener = std::function<void(const Event&)>;
    /// Ends the subscription when destroyed.
    class [[nodiscard]] Subscription {
    public:
        Subscription(Hub& hub, std::uint64_t id) : hub_(&hub), id_(id) {}
        Subscription(Subscription&& other) noexcept
            : hub_(std::exchange(other.hub_, nullptr)), id_(other.id_) {}
        ~Subscription();

    private:
        Hub* hub_;
        std::uint64_t id_;
    };
    [[nodiscard]] Subscription subscribe(unsigned kinds, Listener listener);
    /// True when nobody listens to this kind: then the caller need not build the event.
    [[nodiscard]] bool idle(Kind kind) const;
    void publish(const Event& event);
    /// {"type","timestamp","metadata","location":"none","project"} around metadata JSON text.
    void publish(Kind kind, const std::string& project, const std::string& metadata_json);
    /// Ends all subscriptions: before what the listeners stand on goes.
    void end();

private:
    struct Entry {
        unsigned kinds;
        Listener listener;
    };
    void note_kinds();

    mutable std::mutex mutex_;
    std::map<std::uint64_t, Entry> listeners_;
    std::uint64_t next_ = 1;
    std::atomic<unsigned> kinds_{0};  ///< union of what is listened to, so that idle() costs no lock
};

/// A lifecycle event: action "instance-started", source "/1.0/instances/x", which may hold a key
/// (api/project_keys.h). Context and requestor are JSON text; empty leaves them out. `project` is that of
/// sources that do not tell theirs.
void publish_lifecycle(Hub& hub, const std::string& action, const std::string& source,
                       const std::string& context_json, const std::string& requestor_json,
                       const std::string& project = "default");
/// A log line as a `logging` event.
void publish_log_line(Hub& hub, log::Level level, std::string_view message, const log::Field* fields,
                      std::size_t count);

}  // namespace lxmgr::events
