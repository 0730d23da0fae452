#include "lxd-daemon/instances/stopped_roots.h"

namespace lxmgr::instances {

std::shared_ptr<std::mutex> KeyedMutex::get(const std::string& key) {
    const std::lock_guard lock(mutex_);
    std::erase_if(mutexes_, [&](const auto& entry) { return entry.second.expired() && entry.first != key; });
    auto found = mutexes_[key].lock();
    if (!found) mutexes_[key] = found = std::make_shared<std::mutex>();
    return found;
}

Result<std::shared_ptr<const UniqueFd>> StoppedRoots::get(storage::Driver& driver,
                                                          const database::InstanceRecord& record,
                                                          const sys::IdMap& idmap) {
    const auto mounting = mounting_.get(std::to_string(record.id));
    const std::lock_guard one_at_a_time(*mounting);
    {
        const std::lock_guard lock(mutex_);
        if (auto held = mounts_[record.id].lock()) return held;
    }
    LX_TRY_AS(auto mounted, driver.mount({storage::VolumeType::container, record.name}, {&idmap, false}));
    auto held = std::make_shared<const UniqueFd>(std::move(mounted.root));
    const std::lock_guard lock(mutex_);
    std::erase_if(mounts_, [](const auto& entry) { return entry.second.expired(); });
    mounts_[record.id] = held;
    return held;
}

}  // namespace lxmgr::instances
