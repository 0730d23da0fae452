#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/sys/idmap.h"
#include "storage/driver.h"

namespace lxmgr::instances {

/// One mutex per key, for work that two operations must not do at the same time.
class KeyedMutex {
public:
    std::shared_ptr<std::mutex> get(const std::string& key);

private:
    std::mutex mutex_;
    std::map<std::string, std::weak_ptr<std::mutex>> mutexes_;
};

/// Mounted root file systems of instances that do not run (yet). All who use the root of one instance at the
/// same time share one mount: two overlays over the same upper directory would be undefined (kernel,
/// overlayfs.rst). Thread-safe.
class StoppedRoots {
public:
    /// The mount, ids shifted by `idmap` (not at all for a privileged instance's); unmounted when the last
    /// holder lets go (a started container keeps it alive). Errors: `conflict` while it is held with another
    /// map; what Driver::mount() says.
    /// @param keep_ids  as in storage::MountRequest
    Result<std::shared_ptr<const UniqueFd>> get(storage::Driver& driver,
                                                const database::InstanceRecord& record,
                                                const sys::IdMap& idmap, bool keep_ids = false);

private:
    struct Held {
        std::weak_ptr<const UniqueFd> mount;
        sys::IdMap idmap;
    };
    KeyedMutex mounting_;
    std::mutex mutex_;
    std::map<std::int64_t, Held> mounts_;  ///< by row id: names change
};

}  // namespace lxmgr::instances
