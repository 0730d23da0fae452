#include <algorithm>
#include <condition_variable>
#include <functional>
#include <future>
#include <nlohmann/json.hpp>

#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/service_impl.h"
#include "lxd-daemon/instances/side_by_side.h"
#include "lxd-daemon/operations/worker_pool.h"
#include "profiles/config_keys.h"

/// What happens to instances when the daemon starts and when the host goes down.
namespace lxmgr::instances {
namespace {

constexpr std::int64_t kHostShutdownSeconds = 30;
constexpr std::size_t kBootStopsAtOnce = 128;

struct Candidate {
    std::string name;
    std::int64_t priority = 0;
    std::chrono::seconds time{};  ///< start: pause after it; stop: how long it may take
    bool force = false;           ///< stop: at once
};

std::int64_t number_in(const api::ConfigMap& config, const char* key, std::int64_t fallback) {
    const auto found = config.find(key);
    return found == config.end() ? fallback : parse_int(found->second).value_or(fallback);
}

bool is_forced(const api::ConfigMap& config) {
    const auto action = config.find("boot.host_shutdown_action");
    return action != config.end() && action->second == "force-stop";
}

bool wants_start(const api::ConfigMap& config) {
    const auto wish = config.find("boot.autostart");
    if (wish != config.end() && !wish->second.empty()) return profiles::parse_bool(wish->second);
    const auto power = config.find("volatile.last_state.power");
    return power != config.end() && power->second == "RUNNING";
}

void sort_by_priority(std::vector<Candidate>& candidates) {
    std::ranges::stable_sort(candidates,
                             [](const Candidate& a, const Candidate& b) { return a.priority > b.priority; });
}

/// An ephemeral instance whose run is over: who heard of its end could not delete it any more.
bool is_over(const Context& context, const database::InstanceRecord& record) {
    return record.ephemeral && record.last_used_at != Time{} &&
           context.live.get(record.name).status == api::StatusCode::stopped;
}

void stop_one(Context& context, const Candidate& candidate) {
    const auto& name = candidate.name;
    const bool orderly = !candidate.force && stop_instance(context, name, false, candidate.time, "", {});
    if (!orderly && context.live.get(name).status != api::StatusCode::stopped) {
        if (auto killed = stop_instance(context, name, true, std::nullopt, "", {}); !killed)
            log::error("instance not stopped", {{"instance", name}, {"error", killed.error().message}});
    }
    const auto record = context.rows().find(name);
    if (!record || !is_over(context, *record)) return;
    if (auto deleted = delete_instance(context, name, ""); !deleted)
        log::error("instance not deleted", {{"instance", name}, {"error", deleted.error().message}});
}

std::vector<std::vector<Candidate>> groups_of(const std::vector<Candidate>& sorted) {
    std::vector<std::vector<Candidate>> groups;
    for (const auto& candidate : sorted) {
        if (groups.empty() || groups.back().front().priority != candidate.priority) groups.emplace_back();
        groups.back().push_back(candidate);
    }
    return groups;
}

void note_autostart(Context& context, const std::string& name, const std::string& error) {
    constexpr const char* kWarning = "Instance autostart failure";
    constexpr int kLow = 1;
    const std::string url = "/1.0/instances/" + name;
    auto& warnings = context.deps.database.warnings();
    if (!error.empty()) log::error("instance not started", {{"instance", name}, {"error", error}});
    auto noted = error.empty() ? warnings.resolve(kWarning, url) : warnings.raise(kWarning, kLow, url, error);
    if (!noted) log::error("warning not recorded", {{"error", noted.error().message}});
}

/// Starts instances as operations and waits for them.
class Autostart {
public:
    using Begin = std::function<Result<operations::OperationPtr>(const std::string& name)>;
    Autostart(Context& context, std::stop_token stop, Begin begin)
        : context_(context), stop_(std::move(stop)), begin_(std::move(begin)) {}

    /// Those of one priority; returns when they run, or after the last attempt.
    void start(std::vector<Candidate> candidates) {
        for (int attempt = 1; !stop_.stop_requested(); ++attempt) {
            std::vector<Begun> begun;
            for (const auto& candidate : candidates) {
                if (stop_.stop_requested()) break;
                begun.push_back(begin(candidate));
                pause(candidate.time);
            }
            candidates.clear();
            for (auto& one : begun) {
                const std::string error = wait(one);
                if (stop_.stop_requested()) continue;
                note_autostart(context_, one.candidate.name, error);
                if (!error.empty()) candidates.push_back(one.candidate);
            }
            if (candidates.empty() || attempt == kAttempts) return;
            pause(kRetry);
        }
    }

private:
    static constexpr int kAttempts = 3;  ///< as many as LXD, at its intervals
    static constexpr std::chrono::seconds kRetry{5};

    struct Begun {
        Candidate candidate;
        operations::OperationPtr operation;
        std::string error;  ///< without an operation
        std::future<void> end;
    };

    Begun begin(const Candidate& candidate) {
        Begun out{candidate, nullptr, "", {}};
        auto started = begin_(candidate.name);
        if (!started) {
            out.error = started.error().message;
            return out;
        }
        out.operation = *std::move(started);
        auto ended = std::make_shared<std::promise<void>>();
        out.end = ended->get_future();
        out.operation->on_final([ended] { ended->set_value(); });
        return out;
    }
    /// @return empty: it runs, whoever started it
    std::string wait(Begun& one) {
        if (one.operation) one.end.wait();
        if (context_.live.get(one.candidate.name).status != api::StatusCode::stopped) return {};
        return one.operation ? one.operation->to_json().value("err", std::string()) : one.error;
    }
    void pause(std::chrono::seconds time) {
        std::mutex mutex;
        std::condition_variable_any never;
        std::unique_lock lock(mutex);
        never.wait_for(lock, stop_, time, [] { return false; });
    }

    Context& context_;
    std::stop_token stop_;
    Begin begin_;
};

}  // namespace

void Service::autostart() {
    std::vector<Candidate> candidates;
    for (const auto& record : deps_.database.instances().list()) {
        if (status(record->name) != api::StatusCode::stopped) continue;
        if (is_over(impl_->context, *record)) {
            if (auto deleting = remove(record->name, ""); !deleting)
                log::error("instance not deleted",
                           {{"instance", record->name}, {"error", deleting.error().message}});
            continue;
        }
        const auto config = expand(impl_->context, *record).config;
        if (!wants_start(config)) continue;
        candidates.push_back({record->name, number_in(config, "boot.autostart.priority", 0),
                              std::chrono::seconds(number_in(config, "boot.autostart.delay", 0))});
    }
    sort_by_priority(candidates);
    if (candidates.empty()) return;
    deps_.workers.post([this, candidates = std::move(candidates)] {
        Autostart autostart(impl_->context, impl_->shutdown.get_token(), [this](const std::string& name) {
            return change_state(name, {.action = "start"}, "");
        });
        for (auto& group : groups_of(candidates)) autostart.start(std::move(group));
    });
}

void Service::stop_background() {
    impl_->shutdown.request_stop();
    impl_->context.hot_devices.end();
}

void Service::stop_all() {
    impl_->shutdown.request_stop();
    impl_->context.host_shutdown = true;
    // Again for those whose start had begun before.
    for (int pass = 0; pass < 2; ++pass) {
        std::vector<Candidate> candidates;
        for (const auto& record : deps_.database.instances().list()) {
            if (status(record->name) == api::StatusCode::stopped) continue;
            const auto config = expand(impl_->context, *record).config;
            const auto time = number_in(config, "boot.host_shutdown_timeout", kHostShutdownSeconds);
            candidates.push_back({record->name, number_in(config, "boot.stop.priority", 0),
                                  std::chrono::seconds(time), is_forced(config)});
        }
        sort_by_priority(candidates);
        const std::function<void(const Candidate&)> stop = [this](const Candidate& candidate) {
            stop_one(impl_->context, candidate);
        };
        for (const auto& group : groups_of(candidates))
            side_by_side<Candidate>(group, kBootStopsAtOnce, stop);
    }
}

}  // namespace lxmgr::instances
