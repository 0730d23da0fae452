#include "lxd-daemon/events/hub.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/clock.h"

namespace lxmgr::events {
namespace {

const char* kind_name(Kind kind) {
    switch (kind) {
        case Kind::operation:
            return "operation";
        case Kind::lifecycle:
            return "lifecycle";
        case Kind::logging:
            return "logging";
        case Kind::guest_config:
            return "config";
        case Kind::guest_device:
            return "device";
    }
    return "";
}

std::string quoted(const std::string& text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

Hub::Subscription::~Subscription() {
    if (hub_ == nullptr) return;
    const std::lock_guard lock(hub_->mutex_);
    hub_->listeners_.erase(id_);
    hub_->note_kinds();
}

void Hub::note_kinds() {
    unsigned kinds = 0;
    for (const auto& [id, entry] : listeners_) kinds |= entry.kinds;
    kinds_.store(kinds, std::memory_order_relaxed);
}

Hub::Subscription Hub::subscribe(unsigned kinds, Listener listener) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t id = next_++;
    listeners_.emplace(id, Entry{kinds, std::move(listener)});
    note_kinds();
    return {*this, id};
}

bool Hub::idle(Kind kind) const {
    return (kinds_.load(std::memory_order_relaxed) & static_cast<unsigned>(kind)) == 0;
}

void Hub::publish(const Event& event) {
    if (idle(event.kind)) return;
    const std::lock_guard lock(mutex_);
    for (const auto& [id, entry] : listeners_) {
        if ((entry.kinds & static_cast<unsigned>(event.kind)) != 0) entry.listener(event);
    }
}

void Hub::end() {
    std::map<std::uint64_t, Entry> ended;  // destroyed without the lock: a listener may own its subscription
    const std::lock_guard lock(mutex_);
    ended.swap(listeners_);
    note_kinds();
}

void Hub::publish(Kind kind, const std::string& project, const std::string& metadata_json) {
    if (idle(kind)) return;
    auto text = fmt::format(R"({{"type":"{}","timestamp":"{}","metadata":{},"location":"none")",
                            kind_name(kind), to_rfc3339(now()), metadata_json);
    if (!project.empty()) text += fmt::format(R"(,"project":{})", quoted(project));
    text += '}';
    publish(Event{kind, project, std::make_shared<const std::string>(std::move(text))});
}

void publish_lifecycle(Hub& hub, const std::string& action, const std::string& source,
                       const std::string& context_json, const std::string& requestor_json,
                       const std::string& project) {
    if (hub.idle(Kind::lifecycle)) return;
    const auto shown = api::split_url(source);
    auto text = fmt::format(R"({{"action":{},"source":{})", quoted(action), quoted(shown.url));
    if (!context_json.empty()) text += fmt::format(R"(,"context":{})", context_json);
    if (!requestor_json.empty()) text += fmt::format(R"(,"requestor":{})", requestor_json);
    hub.publish(Kind::lifecycle, shown.project == "default" ? project : shown.project, text + '}');
}

void publish_log_line(Hub& hub, log::Level level, std::string_view message, const log::Field* fields,
                      std::size_t count) {
    if (hub.idle(Kind::logging)) return;
    constexpr const char* kLevels[] = {"debug", "info", "warning", "error"};
    nlohmann::json context = nlohmann::json::object();
    for (std::size_t i = 0; i < count; ++i) context[std::string(fields[i].first)] = fields[i].second;
    const nlohmann::json line{
        {"message", message}, {"level", kLevels[static_cast<int>(level)]}, {"context", context}};
    hub.publish(Kind::logging, "", line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace lxmgr::events
