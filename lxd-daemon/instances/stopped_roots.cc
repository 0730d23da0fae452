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
                                                          const sys::IdMap& idmap, bool keep_ids) {
    const auto mounting = mounting_.get(std::to_string(record.id));
    const std::lock_guard one_at_a_time(*mounting);
    {
        const std::lock_guard lock(mutex_);
        const Held& present = mounts_[record.id];
        if (auto held = present.mount.lock()) {
            if (present.idmap == idmap) return held;
            return fail(Status::conflict,
                        "The instance's files are being used with its former id map: try again later");
        }
    }
    storage::MountRequest request;
    request.idmap = &idmap;
    request.keep_ids = keep_ids;
    LX_TRY_AS(auto mounted, driver.mount({storage::VolumeType::container, record.name}, request));
    auto held = std::make_shared<const UniqueFd>(std::move(mounted.root));
    const std::lock_guard lock(mutex_);
    std::erase_if(mounts_, [](const auto& entry) { return entry.second.mount.expired(); });
    mounts_[record.id] = {held, idmap};
    return held;
}

}  // namespace lxmgr::instances
