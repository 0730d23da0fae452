#include "lxd-daemon/instances/recovery/notes.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/recovery/note.h"
#include "lxd-daemon/operations/worker_pool.h"

namespace lxmgr::instances {
namespace {

/// Events that change nothing that a note says, but for what a start gives an instance for good.
bool is_event_of_a_run(const std::string& action) {
    for (const char* one : {"started", "stopped", "shutdown", "restarted", "paused", "resumed", "ready",
                            "exec", "console", "retrieved", "pushed", "file-deleted"}) {
        if (action.ends_with(one)) return true;
    }
    return false;
}

}  // namespace

void RecoveryNotes::check(const Result<>& written, const std::string& name) {
    // What is gone was deleted meanwhile.
    if (written || written.error().status == Status::not_found || written.error().sys_errno == ENOENT) return;
    failed_ = true;
    log::warn("backup.yaml not written", {{"name", name}, {"error", written.error().message}});
}

std::string RecoveryNotes::marker() const { return context_.deps.state_dir + "/notes-written"; }

RecoveryNotes::~RecoveryNotes() {
    subscription_.reset();
    if (!whole_ || failed_ || !queue_.empty()) return;
    const UniqueFd fd(::open(marker().c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd) log::debug("marker of written notes not made", {{"file", marker()}});
}

void RecoveryNotes::begin() {
    subscription_.emplace(
        context_.deps.events.subscribe(static_cast<unsigned>(events::Kind::lifecycle),
                                       [this](const events::Event& event) { queue(event.text); }));
    // The last daemon ended in order, and wrote all of them.
    whole_ = ::unlink(marker().c_str()) == 0;
    if (!whole_) queue(nullptr);
}

void RecoveryNotes::queue(const Frame& event) {
    {
        const std::lock_guard lock(mutex_);
        queue_.push_back(event);
        if (std::exchange(busy_, true)) return;
    }
    context_.deps.workers.post([this] { work(); });
}

void RecoveryNotes::work() {
    for (;;) {
        std::vector<Frame> frames;
        {
            const std::lock_guard lock(mutex_);
            if (queue_.empty()) {
                busy_ = false;
                return;
            }
            frames.swap(queue_);
        }
        for (const auto& frame : frames) work_on(frame);
    }
}

void RecoveryNotes::work_on(const Frame& event) {
    if (!event) return everything();
    const auto parsed = nlohmann::json::parse(*event, nullptr, false);
    if (!parsed.is_object() || !parsed.contains("metadata")) return;
    const auto& metadata = parsed["metadata"];
    const std::string url = metadata.value("source", "");
    work_on_url(url.substr(0, url.find('?')), parsed.value("project", "default"),
                is_event_of_a_run(metadata.value("action", "")));
}

void RecoveryNotes::work_on_url(const std::string& url, const std::string& project, bool of_a_run) {
    const auto parts = split(url, '/');  // "", "1.0", "instances", NAME, "snapshots", S
    if (parts.size() < 4) return;
    const std::string &kind = parts[2], &plain = parts[3];
    const std::string name = kind == "instances" ? api::instance_key(project, plain) : plain;
    if (kind == "instances") {
        const auto record = context_.rows().find(name);
        if (!record) return;
        const bool one = parts.size() == 6 && parts[4] == "snapshots";
        const auto snapshot =
            one ? context_.deps.database.snapshots().find(record->id, parts[5]) : database::SnapshotPtr();
        if (snapshot) check(write_note(context_, *record, *snapshot), name);
        all_of_instance(name, !snapshot && !of_a_run);
    } else if (kind == "storage-pools") {
        all_of_volumes(name, parts.size() > 6 ? parts[6] : "", project);
        if (parts.size() > 4) return;
        for (const auto& record : context_.rows().list()) {
            if (record->pool == name) all_of_instance(record->name, false);
        }
    } else if (kind == "profiles") {
        for (const auto& record : context_.rows().list()) {
            const auto is_meant = [&](const std::string& key) {
                const auto profile = api::split_object_key(key);
                return profile.project == project && url_encode(profile.name) == name;
            };
            if (std::ranges::any_of(record->profiles, is_meant)) all_of_instance(record->name, false);
        }
    }
}

void RecoveryNotes::all_of_instance(const std::string& name, bool with_snapshots) {
    const auto record = context_.rows().find(name);
    if (!record) return;
    check(write_note(context_, *record), name);
    if (!with_snapshots) return;
    for (const auto& snapshot : context_.deps.database.snapshots().list(record->id))
        check(write_note(context_, *record, *snapshot), name);
}

void RecoveryNotes::all_of_volumes(const std::string& pool, const std::string& encoded_name,
                                   const std::string& project) {
    for (const auto& record : context_.deps.database.volumes().list(pool)) {
        const auto named = api::split_object_key(record->name);
        const bool is_meant = url_encode(named.name) == encoded_name && named.project == project;
        if (!encoded_name.empty() && !is_meant) continue;
        check(write_note(context_, *record), record->name);
        for (const auto& snapshot : context_.deps.database.volumes().snapshots(record->id))
            check(write_note(context_, *record, *snapshot), record->name);
    }
}

void RecoveryNotes::everything() {
    for (const auto& record : context_.rows().list()) all_of_instance(record->name, true);
    for (const auto& pool : context_.deps.database.pools().list()) all_of_volumes(pool->name, "", "");
    whole_ = true;
}

}  // namespace lxmgr::instances
