#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/networks.h"
#include "network/nic_rules.h"
#include "network/parent_network.h"
#include "network/proxy_nat.h"

/// What others do to networks, and servers that end or no longer answer.
namespace lxmgr::instances {
namespace {

constexpr int kMaxEnds = 5;  ///< in a row, each soon after the last
constexpr std::chrono::seconds kSoon{10};

}  // namespace

void Networks::supervise(network::Watch& watch, std::function<void(std::function<void()>)> background) {
    const std::lock_guard change(change_);
    watch_ = &watch;
    background_ = std::move(background);
    for (const auto& record : database_.networks().list()) {
        if (auto live = bridge(record->name)) follow_server(record->name, **live);
    }
}

void Networks::follow_server(const std::string& name, const network::Bridge& live) {
    if (watch_ == nullptr) return;
    const pid_t pid = live.server_pid();
    pid_t& followed = followed_[name];
    if (pid == followed) return;
    followed = pid;
    if (auto done = watch_->follow(name, live.server_pidfd()); !done)
        log::warn("server of a network not followed", {{"network", name}, {"error", done.error().message}});
}

/// One that ends again and again is left alone until the next change of its network.
bool Networks::may_restart(const std::string& name) {
    Ends& ends = ends_[name];
    const auto now = std::chrono::steady_clock::now();
    ends.count = now - ends.last < kSoon ? ends.count + 1 : 1;
    ends.last = now;
    if (ends.count <= kMaxEnds) return true;
    log::error("dnsmasq ends again and again, it is not started any more", {{"network", name}});
    auto noted = database_.warnings().raise("Network unavailable", 3, "/1.0/networks/" + name,
                                            "dnsmasq ends again and again");
    if (!noted) log::error("warning not recorded", {{"error", noted.error().message}});
    return false;
}

void Networks::remove_strays() const {
    std::error_code error;
    for (std::filesystem::directory_iterator at(state_dir_ + "/networks", error), end; !error && at != end;
         at.increment(error)) {
        if (database_.networks().find(at->path().filename().string())) continue;
        if (auto removed = remove_tree(at->path().string()); !removed)
            log::warn("directory left behind",
                      {{"path", at->path().string()}, {"error", removed.error().message}});
    }
}

void Networks::take_down() {
    const std::lock_guard change(change_);
    is_down_ = true;
    std::map<std::string, std::shared_ptr<network::Bridge>> all;
    {
        const std::lock_guard lock(mutex_);
        all.swap(bridges_);
    }
    for (const auto& [name, live] : all) {
        if (auto done = live->take_down(); !done)
            log::warn("network not taken down", {{"network", name}, {"error", done.error().message}});
    }
}

bool Networks::concerns(const network::Watch::Events& events) const {
    if (is_down_) return false;
    if (events.rules || events.lost || !events.ended.empty()) return true;
    return std::ranges::any_of(
        events.deleted, [this](const auto& name) { return database_.networks().find(name) != nullptr; });
}

bool Networks::repair(const network::Watch::Events& events) {
    const std::lock_guard change(change_);
    if (is_down_) return false;
    bool lost_ports = false;
    for (const auto& record : database_.networks().list()) {
        if (network::is_on_parent(record->type)) continue;
        const bool deleted = events.lost || events.deleted.contains(record->name);
        const bool ended = events.ended.contains(record->name);
        if (!deleted && !ended && !events.rules) continue;
        if (ended && !deleted && !may_restart(record->name)) continue;
        const bool good = deleted || ended ? apply_noted(*record) : apply(*record).has_value();
        if (good && (deleted || ended)) log::info("network repaired", {{"network", record->name}});
        lost_ports = lost_ports || deleted;
    }
    if (lost_ports) return true;
    return (events.rules || events.lost) && (network::nic_rules_lost() || network::proxy_nat_lost());
}

void Networks::check_servers() {
    std::vector<std::string> names;
    {
        const std::lock_guard lock(mutex_);
        for (const auto& [name, live] : bridges_) names.push_back(name);
    }
    for (const auto& name : names) {
        if (!database_.networks().addresses(name).empty()) check_server(name);
    }
}

void Networks::check_server(const std::string& name) {
    if (!background_) return;
    {
        const std::lock_guard lock(mutex_);
        if (!being_checked_.insert(name).second) return;
    }
    background_([this, name] {
        {
            const std::lock_guard lock(mutex_);
            being_checked_.erase(name);
        }
        const auto live = bridge(name);
        if (!live) return;
        if (auto done = (*live)->check_server(); !done)
            log::error("dnsmasq not replaced", {{"network", name}, {"error", done.error().message}});
        const std::lock_guard change(change_);
        if (auto known = bridge(name)) follow_server(name, **known);
    });
}

}  // namespace lxmgr::instances
