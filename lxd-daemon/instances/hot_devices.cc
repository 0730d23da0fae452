#include "lxd-daemon/instances/hot_devices.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/devices/hot_nodes.h"
#include "lxd-daemon/instances/device_steps.h"
#include "lxd-daemon/instances/own_idmap.h"
#include "lxd-daemon/instances/steps.h"
#include "lxd-daemon/operations/worker_pool.h"
#include "lxd-daemon/sys/uevents.h"

namespace lxmgr::instances {
namespace {

/// The devices of one running instance that follow the host.
class Followers {
public:
    Followers(Context& context, database::InstancePtr record)
        : context_(context),
          record_(std::move(record)),
          expanded_(expand(context, *record_)),
          idmap_(current_idmap(context, record_->config)),
          surroundings_(make_surroundings(context)) {}

    [[nodiscard]] bool are_up_to_date() {
        return std::ranges::all_of(expanded_.devices, [this](const auto& device) {
            const auto type = following(device.first, device.second);
            if (type == nullptr) return true;
            const auto context = of(device.first, device.second);
            const auto wanted = type->wanted_nodes(context);
            return !wanted || *wanted == devices::held_nodes(context);
        });
    }
    /// The caller's operation holds the lock of the instance.
    Result<> update() {
        for (const auto& [name, keys] : expanded_.devices) {
            if (const auto* type = following(name, keys)) LX_TRY(update_one(*type, of(name, keys)));
        }
        return {};
    }

private:
    const devices::DeviceType* following(const std::string& name, const api::ConfigMap& keys) {
        const auto type = devices::find_type(name, keys);
        return type && (*type)->follows_host(of(name, keys)) ? *type : nullptr;
    }
    devices::DeviceContext of(const std::string& name, const api::ConfigMap& keys) {
        return {
            record_->name, name, keys, record_->config, *surroundings_, idmap_, context_.deps.pools.idmaps()};
    }
    Result<> update_one(const devices::DeviceType& type, const devices::DeviceContext& device) {
        LX_TRY_AS(const auto wanted, type.wanted_nodes(device));
        const auto held = devices::held_nodes(device);
        if (wanted == held) return {};
        for (const auto& [target, number] : held) {
            const auto still = wanted.find(target);
            if (still != wanted.end() && still->second == number) continue;
            LX_TRY(context_.deps.runtime.detach(record_->name, target, true));
        }
        failpoint("instances.hot_devices.detached");
        for (const auto& [target, number] : wanted) {
            const auto before = held.find(target);
            if (before != held.end() && before->second == number) continue;
            // One that a crash left there, before it was noted.
            LX_TRY(context_.deps.runtime.detach(record_->name, target, false));
            LX_TRY_AS(const auto attach, devices::attach_hot_node(device, target, number));
            LX_TRY(context_.deps.runtime.attach(record_->name, {attach.mount.get(), attach.target, false}));
        }
        failpoint("instances.hot_devices.attached");
        database::ConfigChanges changes;
        for (const auto& [key, value] : devices::note_nodes(device, wanted))
            changes.emplace_back(key, value.empty() ? std::nullopt : std::optional(value));
        LX_TRY(context_.rows().change_config(record_->name, changes, false));
        log::info("devices of the host followed", {{"instance", record_->name}, {"device", device.device}});
        return {};
    }

    Context& context_;
    database::InstancePtr record_;
    ExpandedInstance expanded_;
    sys::IdMap idmap_;
    std::unique_ptr<devices::Surroundings> surroundings_;
};

bool runs(const Context& context, const std::string& name) {
    const auto status = context.live.get(name).status;
    return status == api::StatusCode::running || status == api::StatusCode::frozen;
}

void follow(Context& context, const std::string& name) {
    auto request = request_for("Updating instance", name, "");
    request.body = step([&context, name](const std::stop_token&) -> Result<> {
        const auto record = context.rows().find(name);
        if (!record || !runs(context, name)) return {};
        return Followers(context, record).update();
    });
    if (auto started = context.deps.operations.start(std::move(request)); !started)
        log::warn("devices not followed", {{"instance", name}, {"error", started.error().message}});
}

/// Whether any device may come or go, without asking the host.
bool may_follow(const api::DeviceMap& expanded) {
    return std::ranges::any_of(expanded, [](const auto& device) {
        const auto value = [&](const char* key) {
            const auto found = device.second.find(key);
            return found == device.second.end() ? std::string() : found->second;
        };
        const std::string type = value("type");
        return type == "usb" || type == "unix-hotplug" ||
               ((type == "unix-char" || type == "unix-block") && !value("required").empty());
    });
}

}  // namespace

void HotDevices::end() {
    std::jthread ending;  // joined without the lock, which it may want
    const std::lock_guard lock(mutex_);
    ended_ = true;
    ending = std::move(thread_);
}

void HotDevices::watch(const std::string& instance, const api::DeviceMap& expanded) {
    const bool wanted = may_follow(expanded);
    std::jthread ending;  // as in end()
    {
        const std::lock_guard lock(mutex_);
        if (ended_) return;
        const bool changed = wanted ? instances_.insert(instance).second : instances_.erase(instance) > 0;
        if (!wanted && !changed) return;
        if (instances_.empty()) {
            ending = std::move(thread_);
        } else if (!thread_.joinable()) {
            listen();
        }
    }
    if (wanted) look({instance});
}

void HotDevices::look(const std::set<std::string>& instances) {
    context_.deps.workers.post([&context = context_, instances] {
        for (const auto& name : instances) {
            const auto record = context.rows().find(name);
            if (record && runs(context, name) && !Followers(context, record).are_up_to_date())
                follow(context, name);
        }
    });
}

/// The socket is there before anybody looks: what comes while the thread is still beginning is not lost.
void HotDevices::listen() {
    auto socket = sys::open_uevents();
    UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!socket || !wake) {
        log::error("devices of the host are not followed",
                   {{"error", socket ? "eventfd failed" : socket.error().message}});
        return;
    }
    thread_ = std::jthread([this, events = std::move(*socket), wake = std::move(wake)](
                               const std::stop_token& stop) { run(stop, events, wake); });
}

void HotDevices::run(const std::stop_token& stop, const UniqueFd& events, const UniqueFd& wake) {
    const std::stop_callback on_stop(stop, [&wake] { ::eventfd_write(wake.get(), 1); });
    std::array<pollfd, 2> ready{pollfd{events.get(), POLLIN, 0}, pollfd{wake.get(), POLLIN, 0}};
    while (!stop.stop_requested()) {
        if (::poll(ready.data(), ready.size(), -1) < 0 && errno != EINTR) return;
        bool changed = false;
        while (const auto event = sys::next_uevent(events.get())) {
            const bool counts = event->action.empty() || event->action == "add" || event->action == "remove";
            changed = changed || (counts && (event->action.empty() || !event->node.empty()));
        }
        if (!changed) continue;
        const std::lock_guard lock(mutex_);
        look(instances_);
    }
}

}  // namespace lxmgr::instances
