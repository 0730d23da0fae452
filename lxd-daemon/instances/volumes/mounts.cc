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
    if (held_.contains(volume))
        return fail(Status::bad_request, "The storage volume is being changed: try again in a moment");
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

Result<VolumeMounts::Hold> VolumeMounts::hold(std::int64_t volume) {
    const std::lock_guard lock(mutex_);
    const auto users = instances_locked(volume);
    if (!users.empty())
        return fail(Status::bad_request,
                    fmt::format("Volume is still in use by running instances: {}", fmt::join(users, ", ")));
    ++held_[volume];
    return Hold(*this, volume);
}

}  // namespace lxmgr::instances
