#include <algorithm>
#include <thread>

#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/service_impl.h"
#include "lxd-daemon/operations/worker_pool.h"
#include "profiles/config_keys.h"

/// What happens to instances when the daemon starts and when the host goes down.
namespace lxmgr::instances {
namespace {

struct Candidate {
    std::string name;
    std::int64_t priority = 0;
    std::chrono::seconds time{};  ///< start: pause after it; stop: how long it may take
};

std::int64_t number_in(const api::ConfigMap& config, const char* key, std::int64_t fallback) {
    const auto found = config.find(key);
    return found == config.end() ? fallback : parse_int(found->second).value_or(fallback);
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

void stop_one(Context& context, const Candidate& candidate) {
    if (stop_instance(context, candidate.name, false, candidate.time, "", {})) return;
    if (auto killed = stop_instance(context, candidate.name, true, std::nullopt, "", {}); !killed) {
        log::error("instance not stopped", {{"instance", candidate.name}, {"error", killed.error().message}});
    }
}

}  // namespace

void Service::autostart() {
    std::vector<Candidate> candidates;
    for (const auto& record : deps_.database.instances().list()) {
        if (status(record->name) != api::StatusCode::stopped) continue;
        const auto config = expand(impl_->context, *record).config;
        if (!wants_start(config)) continue;
        candidates.push_back({record->name, number_in(config, "boot.autostart.priority", 0),
                              std::chrono::seconds(number_in(config, "boot.autostart.delay", 0))});
    }
    sort_by_priority(candidates);
    if (candidates.empty()) return;
    deps_.workers.post([this, candidates = std::move(candidates)] {
        const std::stop_token stop = impl_->shutdown.get_token();
        for (const auto& candidate : candidates) {
            if (stop.stop_requested()) return;
            auto started = change_state(candidate.name, {.action = "start"}, "");
            if (!started)
                log::error("instance not started",
                           {{"instance", candidate.name}, {"error", started.error().message}});
            std::unique_lock lock(impl_->pause_mutex);
            impl_->pause.wait_for(lock, stop, candidate.time, [] { return false; });
        }
    });
}

void Service::stop_all() {
    impl_->shutdown.request_stop();
    impl_->context.host_shutdown = true;
    std::vector<Candidate> candidates;
    for (const auto& record : deps_.database.instances().list()) {
        if (status(record->name) == api::StatusCode::stopped) continue;
        const auto config = expand(impl_->context, *record).config;
        candidates.push_back({record->name, number_in(config, "boot.stop.priority", 0),
                              std::chrono::seconds(number_in(config, "boot.host_shutdown_timeout", 30))});
    }
    sort_by_priority(candidates);
    for (auto first = candidates.begin(); first != candidates.end();) {
        const auto last = std::find_if(first, candidates.end(), [&](const Candidate& other) {
            return other.priority != first->priority;
        });
        std::vector<std::jthread>
            stoppers;  // those of one priority side by side; the next priority after them
        for (auto it = first; it != last; ++it) {
            stoppers.emplace_back([this, candidate = *it] { stop_one(impl_->context, candidate); });
        }
        first = last;
    }
}

}  // namespace lxmgr::instances
