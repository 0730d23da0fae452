#include "lxd-daemon/instances/volumes/mounts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace lxmgr::instances {

VolumeMounts::Hold::~Hold() {
    if (mounts_ == nullptr) return;
    const std::lock_guard lock(mounts_->mutex_);
    const auto found = mounts_->held_.find(volume_);
    if (--found->second == 0) mounts_->held_.erase(found);
}

Result<> VolumeMounts::use(std::int64_t volume, const std::string& instance, const std::string& device) {
    const std::lock_guard lock(mutex_);
    LX_TRY(require_idle_locked(volume));
    LX_TRY(require_free_locked(volume));
    uses_[{instance, device}] = volume;
    return {};
}

void VolumeMounts::release(const std::string& instance, const std::string& device) {
    const std::lock_guard lock(mutex_);
    uses_.erase({instance, device});
}

void VolumeMounts::release_all(const std::string& instance) {
    const std::lock_guard lock(mutex_);
    std::erase_if(uses_, [&](const auto& entry) { return entry.first.first == instance; });
}

std::vector<std::string> VolumeMounts::instances(std::int64_t volume) const {
    const std::lock_guard lock(mutex_);
    return instances_locked(volume);
}

std::vector<std::string> VolumeMounts::instances_locked(std::int64_t volume) const {
    std::vector<std::string> out;
    for (const auto& [user, used] : uses_) {
        if (used == volume && (out.empty() || out.back() != user.first)) out.push_back(user.first);
    }
    return out;
}

Result<> VolumeMounts::require_unused_locked(std::int64_t volume) const {
    const auto users = instances_locked(volume);
    if (users.empty()) return {};
    return fail(Status::bad_request,
                fmt::format("Volume is still in use by running instances: {}", fmt::join(users, ", ")));
}

Result<> VolumeMounts::require_idle_locked(std::int64_t volume) const {
    if (!held_.contains(volume)) return {};
    return fail(Status::bad_request, "The storage volume is being changed: try again in a moment");
}

Result<> VolumeMounts::require_free_locked(std::int64_t volume) const {
    const auto found = reserved_.find(volume);
    if (found == reserved_.end()) return {};
    return fail(Status::bad_request,
                fmt::format("The storage volume is still in use by the server itself: unset {} of its "
                            "config first",
                            found->second));
}

Result<> VolumeMounts::require_free(std::int64_t volume) const {
    const std::lock_guard lock(mutex_);
    return require_free_locked(volume);
}

bool VolumeMounts::is_reserved(std::int64_t volume) const {
    const std::lock_guard lock(mutex_);
    return reserved_.contains(volume);
}

Result<> VolumeMounts::reserve(std::int64_t volume, const std::string& key) {
    const std::lock_guard lock(mutex_);
    LX_TRY(require_unused_locked(volume));
    LX_TRY(require_idle_locked(volume));
    reserved_.emplace(volume, key);
    return {};
}

void VolumeMounts::end_reservation(std::int64_t volume, const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto [first, last] = reserved_.equal_range(volume);
    const auto found = std::find_if(first, last, [&](const auto& entry) { return entry.second == key; });
    if (found != last) reserved_.erase(found);
}

Result<VolumeMounts::Hold> VolumeMounts::hold(std::int64_t volume) {
    const std::lock_guard lock(mutex_);
    LX_TRY(require_free_locked(volume));
    LX_TRY(require_unused_locked(volume));
    ++held_[volume];
    return Hold(*this, volume);
}

}  // namespace lxmgr::instances
